/** Every method that works on entities: refused without a tenant, and at home in its own. */
import { openStage, type Stage } from './scene.ts'
import { testsOf } from './generated.ts'
import { entitySubjects } from './subjects.ts'

describe('no way round: what works on entities', function () {
  this.timeout(20_000)
  let stage: Stage

  before(async () => {
    stage = await openStage()
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const subject of entitySubjects) testsOf(subject, () => stage)
})
