/** What a command shows on its way, and where: bars and colours on terminals, lines in logs. */
import { stripVTControlCharacters } from 'node:util'
import { assert } from 'chai'
import { Output, type CliIo } from '../../src/cli/output.ts'
import { startProgress } from '../../src/cli/progress.ts'
import { isWatched, wantsColour } from '../../src/cli/terminal.ts'
import { nearest } from '../../src/cli/usage.ts'

const CLEAR = '\r\u001b[2K'

function outputTo(more: Partial<CliIo> = {}, json = false) {
  let [stdout, stderr] = ['', '']
  const io: CliIo = {
    stdout: text => void (stdout += text),
    stderr: text => void (stderr += text),
    env: {},
    cwd: '/',
    colour: false,
    errorColour: false,
    columns: 120,
    ...more,
  }
  return { output: new Output(io, json), stdout: () => stdout, stderr: () => stderr }
}

describe('the progress of a command', () => {
  it('is a line for each tenth in a log, and says at once what failed', () => {
    const { output, stdout, stderr } = outputTo()
    const progress = output.progress('Migrating', 'tenants', 100)
    for (let index = 1; index <= 100; index++) progress.step(`t${index}`, index === 42 ? 'a lock' : undefined)
    progress.end()
    const lines = stderr().trimEnd().split('\n')
    assert.include(lines, 'failed t42: a lock')
    assert.include(lines, 'Migrating: 50 of 100 tenants (50 %)')
    assert.match(lines.at(-1)!, /^Migrating: 100 of 100 tenants, 1 failed, \d+\.\d s$/)
    assert.lengthOf(lines, 9 + 1 + 1)
    assert.notInclude(stderr(), '\u001b')
    assert.equal(stdout(), '')
  })

  it('says a line as well when a log was silent for long', () => {
    let now = 0
    const said: string[] = []
    const progress = startProgress({
      title: 'Comparing',
      unit: 'tenants',
      total: 1_000,
      say: line => void said.push(line),
      paint: (_, text) => text,
      columns: 100,
      now: () => now,
    })
    for (now = 1_000; now <= 12_000; now += 1_000) progress.step('t')
    progress.end()
    assert.deepEqual(said, [
      'Comparing: 5 of 1000 tenants (0 %)',
      'Comparing: 10 of 1000 tenants (1 %)',
      'Comparing: 12 of 1000 tenants, 13.0 s',
    ])
  })

  it('is a bar where somebody watches, drawn over itself, never wider than the terminal', () => {
    for (const columns of [120, 40, 12]) {
      const { output, stderr } = outputTo({ watched: true, columns })
      const progress = output.progress('Migrating', 'tenants', 3)
      progress.step('acme')
      progress.step('globex', 'gone')
      progress.step('hooli')
      output.say('beside it')
      const drawn = stripVTControlCharacters(stderr())
      assert.match(drawn, /failed globex: gone\n/)
      assert.include(stderr(), `${CLEAR}beside it\nMigrating`)
      for (const line of stderr().replaceAll(CLEAR, '\n').split('\n'))
        assert.isAtMost(stripVTControlCharacters(line).length, Math.max(columns, 'failed globex: gone'.length))
      progress.end()
      assert.match(stderr().split(CLEAR).at(-1)!, /^Migrating: 3 of 3 tenants, 1 failed, \d+\.\d s\n$/)
    }
  })

  it('takes away a bar that nobody ended', () => {
    const { output, stderr } = outputTo({ watched: true })
    const progress = output.progress('Migrating', 'tenants', 3)
    output.close()
    // What still goes on while everything is closed is not shown.
    progress.step('late', 'closed')
    progress.end()
    assert.isTrue(stderr().endsWith(CLEAR))
    output.say('error')
    assert.isTrue(stderr().endsWith(`${CLEAR}error\n`))
  })

  it('says nothing when there is nothing to do, and grows when more turns up', () => {
    const { output, stderr } = outputTo()
    output.progress('Migrating', 'tenants', 0).end()
    assert.equal(stderr(), '')
    const progress = output.progress('Migrating', 'tenants', 1)
    progress.grow(1)
    progress.step('acme')
    progress.end()
    assert.match(stderr(), /^Migrating: 1 of 2 tenants/)
  })
})

describe('the colours of a command', () => {
  it('are wanted on a terminal, and nowhere else unless they are asked for', () => {
    const terminal = { isTTY: true }
    assert.isTrue(wantsColour(terminal, {}))
    assert.isFalse(wantsColour({}, {}))
    assert.isFalse(wantsColour(terminal, { TERM: 'dumb' }))
    assert.isFalse(wantsColour(terminal, { NO_COLOR: '1' }))
    assert.isTrue(wantsColour(terminal, { NO_COLOR: '' }))
    assert.isTrue(wantsColour({}, { FORCE_COLOR: '1' }))
    assert.isTrue(wantsColour({}, { FORCE_COLOR: '', NO_COLOR: '1' }))
    assert.isFalse(wantsColour(terminal, { FORCE_COLOR: '0' }))
    assert.isFalse(wantsColour(terminal, { FORCE_COLOR: 'false' }))
  })

  it('are left out of JSON', () => {
    const { output } = outputTo({ colour: true })
    assert.notEqual(output.paint('red', 'x'), 'x')
    assert.equal(outputTo({ colour: true }, true).output.paint('red', 'x'), 'x')
  })

  it('and bars need somebody who watches', () => {
    assert.isTrue(isWatched({ isTTY: true }, {}))
    assert.isTrue(isWatched({ isTTY: true }, { CI: 'false' }))
    for (const env of [{ CI: 'true' }, { CI: '1' }, { TERM: 'dumb' }]) assert.isFalse(isWatched({ isTTY: true }, env))
    assert.isFalse(isWatched({}, {}))
  })
})

describe('the nearest name', () => {
  it('is found over letters that are left out, added, replaced or swapped, and from its beginning', () => {
    const names = ['check', 'entities', 'tenants', 'migrate', 'migrate:create', 'migrate:status', 'doctor']
    for (const [typed, meant] of [
      ['chekc', 'check'],
      ['tenant', 'tenants'],
      ['entites', 'entities'],
      ['migrate:crate', 'migrate:create'],
      ['migrate:st', 'migrate:status'],
      ['doktor', 'doctor'],
    ] as const)
      assert.equal(nearest(typed, names), meant)
    for (const typed of ['x', 'purge', 'something']) assert.isUndefined(nearest(typed, names), typed)
  })
})
