/**
 * A small HTTP client for loads: keep-alive sockets and prepared requests.
 *
 * It shares the machine with the server, so it does no more than count good answers: what a client library costs would be added to both
 * sides and hide their difference.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What a round came to. */
export interface Load {
  readonly requests: number
  readonly milliseconds: number
}

/** A request as it is sent. */
export function requestOf(path: string, headers: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
}

/** Clients of one server, each with one socket. */
export class LoadGenerator implements Disposable {
  readonly #clients: readonly Client[]

  private constructor(clients: readonly Client[]) {
    this.#clients = clients
  }

  static async open(port: number, clients: number): Promise<LoadGenerator> {
    return new LoadGenerator(await Promise.all(Array.from({ length: clients }, () => Client.open(port))))
  }

  /** Sends requests for some time, as many at once as there are clients. @throws Error for any answer but 200 */
  async run(milliseconds: number, next: () => Buffer): Promise<Load> {
    const begun = performance.now()
    const end = begun + milliseconds
    const counts = await Promise.all(
      this.#clients.map(async client => {
        let count = 0
        do {
          await client.send(next())
          count++
        } while (performance.now() < end)
        return count
      }),
    )
    return { requests: counts.reduce((sum, count) => sum + count, 0), milliseconds: performance.now() - begun }
  }

  /** Sends each request once, in order, as many at once as there are clients. @throws Error for any answer but 200 */
  async runAll(requests: Iterable<Buffer>): Promise<Load> {
    const begun = performance.now()
    const queue = requests[Symbol.iterator]()
    let count = 0
    await Promise.all(
      this.#clients.map(async client => {
        for (let next = queue.next(); next.done !== true; next = queue.next()) {
          await client.send(next.value)
          count++
        }
      }),
    )
    return { requests: count, milliseconds: performance.now() - begun }
  }

  /** The body of one answer. */
  async body(request: Buffer): Promise<string> {
    return this.#clients[0]!.send(request)
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close()
  }
}

class Client {
  readonly #socket: Socket
  #answer = ''
  #waiting: { resolve(body: string): void; reject(error: Error): void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.setNoDelay(true)
    socket.on('data', data => this.#read(data as unknown as string))
    socket.on('error', error => this.#waiting?.reject(error))
    socket.on('close', () => this.#waiting?.reject(new Error('The server closed the connection.')))
  }

  static async open(port: number): Promise<Client> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Client(socket)
  }

  send(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(request)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(data: string): void {
    this.#answer += data
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end === -1) return
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#answer)?.[1])
    const body = this.#answer.slice(end + 4)
    if (body.length < length) return
    const isGood = this.#answer.startsWith('HTTP/1.1 200 ')
    this.#answer = ''
    const waiting = this.#waiting!
    this.#waiting = undefined
    if (isGood && body.length === length) waiting.resolve(body)
    else waiting.reject(new Error(`The server did not answer with 200 and ${length} bytes: ${body.slice(0, 500)}`))
  }
}
