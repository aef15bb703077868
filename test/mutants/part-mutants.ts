/** Guards in parts that need no database: pools under their limits, those who wait, what is remembered, how SQL is read. */
import type { Mutant } from './mutant.ts'

const REGISTRY = 'connections/connection-registry.ts'
const BUDGET = 'connections/connection-budget.ts'
const ACCOUNT = 'connections/pool-account.ts'
const GOVERNED = 'connections/governed-pool.ts'
const QUEUE = 'connections/turn-queue.ts'
const ROOM = 'connections/waiting-room.ts'
const CACHE = 'tenants/directory-cache.ts'
const READS = 'tenants/batched-reads.ts'
const LEXER = 'connections/single-statement.ts'
const REFUSED = 'connections/refused-sql.ts'

export const PART_MUTANTS: readonly Mutant[] = [
  // Eviction passes by what is in use, and what is taken out is closed with its last lease: without either, nothing else holds.
  { name: 'ConnectionRegistry: what is in use', file: REGISTRY, find: '      if (entry.leases > 0) continue\n', replace: '' },
  {
    name: 'ConnectionRegistry: closed with the last lease',
    file: REGISTRY,
    find: '    if (entry.leases > 0) this.#retired.add(entry)\n    else this.#discard(entry)',
    replace: '    this.#discard(entry)',
  },
  { name: 'ConnectionRegistry: counting leases', file: REGISTRY, find: '    entry.leases++\n', replace: '' },
  { name: 'ConnectionRegistry: counting back', file: REGISTRY, find: '    entry.leases--\n', replace: '' },
  { name: 'ConnectionRegistry: given back once', file: REGISTRY, find: '    if (released) return\n', replace: '' },
  {
    name: 'ConnectionRegistry: the limit',
    file: REGISTRY,
    find: 'return this.#entries.size + this.#retired.size < this.#options.max\n',
    replace: 'return true\n',
  },
  {
    name: 'ConnectionRegistry: versions',
    file: REGISTRY,
    find: 'if (entry !== undefined && entry.version !== version) this.#retire(entry)\n    else if',
    replace: 'if',
  },
  {
    name: 'ConnectionRegistry: failed openings',
    file: REGISTRY,
    find: 'if (this.#entries.get(key) === entry) this.#entries.delete(key)\n      this.#retired.delete(entry)\n      this.#serve()',
    replace: '',
  },
  { name: 'ConnectionRegistry: closed', file: REGISTRY, find: '    if (this.#closed) throw new ConnectionClosedError(key)\n', replace: '' },
  { name: 'ConnectionRegistry: newcomers', file: REGISTRY, find: 'return entry.draining && !holds ?', replace: 'return false ?' },
  {
    name: 'ConnectionRegistry: who holds one',
    file: REGISTRY,
    find: 'return entry.draining && !holds ?',
    replace: 'return entry.draining ?',
  },
  {
    name: 'ConnectionBudget: in all',
    file: BUDGET,
    find: "return this.#open >= this.#options.total ? 'total' : undefined",
    replace: 'return undefined',
  },
  {
    name: 'ConnectionBudget: to a server',
    file: BUDGET,
    find: "    if (open >= this.#options.perServer - aside) return 'server'\n",
    replace: '    void [open, aside]\n',
  },
  {
    name: 'ConnectionBudget: what is set aside',
    file: BUDGET,
    find: 'this.#options.perServer - aside)',
    replace: 'this.#options.perServer)',
  },
  {
    name: 'ConnectionBudget: of a pool',
    file: BUDGET,
    find: 'return account.sockets < account.max && this.#lacks',
    replace: 'return this.#lacks',
  },
  {
    name: 'ConnectionBudget: in the order of coming',
    file: BUDGET,
    find: '(first === undefined || account.head < first.head!)',
    replace: '(first === undefined || account.head > first.head!)',
  },
  {
    name: 'PoolAccount: closed',
    file: ACCOUNT,
    find: '    if (this.#isClosed) throw new ConnectionClosedError(this.server)\n',
    replace: '',
  },
  {
    name: 'PoolAccount: who gives up',
    file: ACCOUNT,
    find: '      this.#queue.remove(group, place)\n',
    replace: '      void [group, place]\n',
  },
  { name: 'governPool: given back once', file: GOVERNED, find: '        if (!isOut) return\n', replace: '' },
  { name: 'governPool: what comes too late', file: GOVERNED, find: '      else if (client !== undefined) release(true)\n', replace: '' },
  {
    name: 'governPool: who waits when it is closed',
    file: GOVERNED,
    find: '      for (const answer of asked) answer(',
    replace: '      for (const answer of [] as Connected[]) answer(',
  },
  { name: 'governPool: outside of the context', file: GOVERNED, find: '    outside(() => stock(answer))', replace: '    stock(answer)' },
  {
    name: 'TurnQueue: turns',
    file: QUEUE,
    find: '      this.#groups.delete(group)\n      if (items.length > 0) this.#groups.set(group, items)\n',
    replace: '      if (items.length === 0) this.#groups.delete(group)\n',
  },
  { name: 'WaitingRoom: how many', file: ROOM, find: '    if (this.#waiting >= maxWaiting) {', replace: '    if (false) {' },
  { name: 'WaitingRoom: how long', file: ROOM, find: '      giveUp(new PoolExhaustedError(waitMs))\n', replace: '' },
  { name: 'WaitingRoom: who gives up', file: ROOM, find: "    signal?.addEventListener('abort', onAbort, { once: true })\n", replace: '' },
  { name: 'WaitingRoom: who gave up before', file: ROOM, find: '    signal?.throwIfAborted()\n', replace: '' },
  { name: 'WaitingRoom: one answer', file: ROOM, find: '      if (over) return false\n', replace: '' },
  {
    name: 'DirectoryCache: the time of a value',
    file: CACHE,
    find: '      if (now - entry.askedAt >= Math.min(this.#options.ttlMs, trustMs)) return undefined\n',
    replace: '',
  },
  { name: 'DirectoryCache: what is trusted', file: CACHE, find: 'Math.min(this.#options.ttlMs, trustMs)', replace: 'this.#options.ttlMs' },
  {
    name: 'DirectoryCache: the time of an unknown key',
    file: CACHE,
    find: ' && now - askedAt < Math.min(this.#options.negativeTtlMs, trustMs)',
    replace: '',
  },
  { name: 'DirectoryCache: how many values', file: CACHE, find: '    shrink(this.#known, this.#options.maxEntries)\n', replace: '' },
  {
    name: 'DirectoryCache: how many unknown keys',
    file: CACHE,
    find: '    shrink(this.#unknown, this.#options.maxEntries)\n',
    replace: '',
  },
  {
    name: 'DirectoryCache: forgetting an unknown key',
    file: CACHE,
    find: '    this.#known.delete(key)\n    this.#unknown.delete(key)\n',
    replace: '    this.#known.delete(key)\n',
  },
  {
    name: 'BatchedReads: an answer that is out of date',
    file: READS,
    find: '      if (isTrue) this.#options.keep(',
    replace: '      this.#options.keep(',
  },
  {
    name: 'BatchedReads: forgetting',
    file: READS,
    find: '  forget(key: string): void {\n    this.#asked.delete(key)\n',
    replace: '  forget(key: string): void {\n    void key\n',
  },
  {
    name: 'BatchedReads: queries at a time',
    file: READS,
    find: 'while (this.#waiting.size > 0 && this.#running < MAX_QUERIES) {',
    replace: 'while (this.#waiting.size > 0) {',
    also: [{ file: READS, find: 'if (this.#isPlanned || this.#running >= MAX_QUERIES) return', replace: 'if (this.#isPlanned) return' }],
  },
  { name: 'one statement: a second one', file: LEXER, find: '    if (ended) throw', replace: '    if (false) throw' },
  { name: 'one statement: its beginning', file: LEXER, find: 'if (!BEGINNINGS.has(first!.text)) throw', replace: 'if (false) throw' },
  { name: 'one statement: what it sets', file: LEXER, find: "if (first!.text === 'set' && !isAllowedSet(words))", replace: 'if (false)' },
  { name: 'one statement: names', file: LEXER, find: "    if (quoted || kind === 'word') assertName(text)\n", replace: '' },
  {
    name: 'one statement: quoted names',
    file: LEXER,
    find: "if (quoted || kind === 'word') assertName(text)",
    replace: "if (kind === 'word') assertName(text)",
  },
  { name: 'one statement: phrases', file: LEXER, find: "    if (kind === 'word') assertPhrase(recent)\n", replace: '' },
  {
    name: 'one statement: strings that go on',
    file: LEXER,
    find: "if (afterEscaped && kind === 'text') throw",
    replace: 'if (false) throw',
  },
  { name: 'one statement: coded names', file: LEXER, find: "if (kind === 'coded') throw", replace: 'if (false) throw' },
  {
    name: 'one statement: comments nest',
    file: LEXER,
    find: "depth += mark[0] === '/*' ? 1 : -1",
    replace: "depth -= mark[0] === '/*' ? 0 : 1",
  },
  { name: 'one statement: a doubled quote', file: LEXER, find: 'if (sql[at + 1] !== quote) return at + 1', replace: 'return at + 1' },
  {
    name: 'one statement: a backslash',
    file: LEXER,
    find: "if (character === '\\\\' || character === \"'\") at++",
    replace: 'if (character === "\'") at++',
  },
  {
    name: 'one statement: dollar quotes',
    file: LEXER,
    find: 'const end = sql.indexOf(beginning, from)\n    if (end === -1) throw unterminated()\n    return end + beginning.length',
    replace: 'void sql\n    return from',
  },
  {
    name: 'refused SQL: what needs reading',
    file: REFUSED,
    find: 'return PLAIN_BEGINNING.test(sql) && !SUSPICIOUS.test(sql)',
    replace: 'return PLAIN_BEGINNING.test(sql)',
  },
  { name: 'refused SQL: set_config', file: REFUSED, find: "  'set_config',\n", replace: '' },
  { name: 'refused SQL: what runs text', file: REFUSED, find: "  '(?:query|cursor|table|schema|database)_to_xml\\\\w*',\n", replace: '' },
  { name: 'refused SQL: locks of the session', file: REFUSED, find: "  'pg_(?:try_)?advisory_(?!xact_)\\\\w*',\n", replace: '' },
  { name: 'refused SQL: channels', file: REFUSED, find: "  'pg_notify',\n", replace: '' },
  {
    name: 'refused SQL: settings',
    file: REFUSED,
    find: '  return ALLOWED_SETTINGS.has(known) ||',
    replace: '  return true || ALLOWED_SETTINGS.has(known) ||',
  },
]
