/** Every method that builds SQL or sends it: refused without a tenant, and at home in its own. */
import { openStage, type Stage } from './scene.ts'
import { testsOf } from './generated.ts'
import { sqlSubjects } from './subjects.ts'

describe('no way round: what builds SQL or sends it', function () {
  this.timeout(20_000)
  let stage: Stage

  before(async () => {
    stage = await openStage()
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const subject of sqlSubjects) testsOf(subject, () => stage)
})
