/** Every public method of the connection: it knows no entity, so what it sends is the application's own SQL. */
import { all, pure, raw, reads, refused, transaction, type Table } from '../table.ts'

export const classes = [
  { file: 'core/connections/Connection.d.ts', name: 'Connection' },
  { file: 'sql/AbstractSqlConnection.d.ts', name: 'AbstractSqlConnection' },
  { file: 'postgresql/PostgreSqlConnection.d.ts', name: 'PostgreSqlConnection' },
] as const

const POOL = 'The pool is not one run’s to open or to close.'
const CLIENT = 'It would answer the pool itself, and with it sessions that no guard sees.'

export const connection: Table<any> = {
  begin: transaction(async target => target.rollback(await target.begin())),
  callRoutine: raw(target => target.callRoutine({ name: 'whose', type: 'function', params: [] })),
  checkConnection: reads(target => target.checkConnection()),
  close: refused(POOL, target => target.close()),
  commit: transaction(async target => target.commit(await target.begin())),
  connect: refused(POOL, target => target.connect()),
  createKysely: refused(CLIENT, target => target.createKysely()),
  createKyselyDialect: refused(CLIENT, target => target.createKyselyDialect({})),
  ensureConnection: pure('The connection was opened with the run.', target => target.ensureConnection()),
  execute: raw(target => target.execute('select * from author')),
  executeDump: raw(target => target.executeDump('delete from author; delete from book')),
  getClient: raw(target => target.getClient().selectFrom('author').selectAll().execute()),
  getConnectionOptions: refused('It answers the password.', target => target.getConnectionOptions()),
  getNativeClient: refused(CLIENT, target => target.getNativeClient()),
  getPlatform: pure('It answers the dialect.', target => target.getPlatform()),
  initClient: refused(CLIENT, target => target.initClient()),
  isConnected: reads(target => target.isConnected()),
  mapOptions: refused('It answers the password.', target => target.mapOptions({})),
  rollback: transaction(async target => target.rollback(await target.begin())),
  setMetadata: refused('Metadata belongs to the whole ORM.', target => target.setMetadata({})),
  setPlatform: refused('The dialect belongs to the whole ORM.', target => target.setPlatform(target.getPlatform())),
  stream: raw(target => all(target.stream('select * from author'))),
  transactional: transaction(target => target.transactional(() => Promise.resolve())),
}
