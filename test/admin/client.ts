/** What a browser does with a back office, without one: cookies, tokens and forms, so that each can also be forged. */
import { request } from 'node:http'
import { assert } from 'chai'
import { PASSWORD, emailOf, type Who } from './world.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly location: string
  readonly json: any
}

export interface Sending {
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly json?: unknown
  /** Sends the token of the session. Default true. */
  readonly token?: boolean
}

export class Client {
  readonly origin: string
  readonly cookies = new Map<string, string>()

  constructor(origin: string) {
    this.origin = origin
  }

  async get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send('GET', path, { headers })
  }

  async post(path: string, sending: Sending = {}): Promise<Answer> {
    return this.send('POST', path, sending)
  }

  async send(method: string, path: string, { headers = {}, form, json, token = true }: Sending): Promise<Answer> {
    const xsrf = this.cookies.get('XSRF-TOKEN')
    const body = form === undefined ? (json === undefined ? undefined : JSON.stringify(json)) : new URLSearchParams(form).toString()
    const all = {
      cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(method === 'GET' || method === 'HEAD' ? {} : { 'content-length': String(Buffer.byteLength(body ?? '')) }),
      ...(body === undefined ? {} : { 'content-type': json === undefined ? 'application/x-www-form-urlencoded' : 'application/json' }),
      ...(method === 'POST' && token && xsrf !== undefined ? { 'x-xsrf-token': xsrf } : {}),
      ...headers,
    }
    const { status, raw, text } = await exchange(this.origin + path, method, all, body)
    for (const cookie of raw.getSetCookie()) {
      const [pair = ''] = cookie.split(';')
      const [name = '', value = ''] = pair.split('=')
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(cookie)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    const isJson = /json/.test(raw.get('content-type') ?? '') && text !== ''
    return { status, headers: raw, text, location: raw.get('location') ?? '', json: isJson ? JSON.parse(text) : undefined }
  }

  /** The token of the log-in form, as the page holds it. */
  async logInToken(): Promise<string> {
    const { text } = await this.get('/admin/login')
    return /"csrf":"([\w-]+)"/.exec(text)?.[1] ?? ''
  }

  async logIn(email: string, tenant?: string, password = PASSWORD): Promise<Answer> {
    const form = { _csrf: await this.logInToken(), email, password, ...(tenant === undefined ? {} : { tenant }) }
    return this.post('/admin/login', { form })
  }

  /** The token that forms of the session send. */
  get csrf(): string {
    return this.cookies.get('XSRF-TOKEN') ?? ''
  }

  async enter(tenant: string): Promise<Answer> {
    return this.post('/admin/enter', { form: { _csrf: this.csrf, tenant } })
  }
}

/** Not fetch: it adds headers of its own, and keeps some back. */
function exchange(
  url: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
): Promise<{ status: number; raw: Headers; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const raw = new Headers()
        for (const [name, values] of Object.entries(response.headersDistinct)) for (const value of values ?? []) raw.append(name, value)
        resolve({ status: response.statusCode ?? 0, raw, text: Buffer.concat(chunks).toString('utf8') })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** A client that is logged in. */
export async function as(origin: string, who: Who, tenant?: string): Promise<Client> {
  const client = new Client(origin)
  const answer = await client.logIn(emailOf(who), tenant)
  assert.equal(answer.status, 303, `${who} cannot log in: ${answer.text.slice(0, 200)}`)
  return client
}
