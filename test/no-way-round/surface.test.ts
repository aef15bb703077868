/** The classification is complete: what MikroORM declares is classified, and what is classified is declared. */
import { assert } from 'chai'
import { subjects } from './subjects.ts'
import { membersOf, parentOf, surfaceOf } from './surface.ts'

/** What is missing in a table, and what is too much. */
function differences(name: string, declared: readonly string[], classified: readonly string[]): string[] {
  return [
    ...declared.filter(method => !classified.includes(method)).map(method => `${name}.${method} is declared and not classified`),
    ...classified.filter(method => !declared.includes(method)).map(method => `${name}.${method} is classified and not declared any more`),
  ]
}

describe('the surface of MikroORM', () => {
  for (const { name, classes, table } of subjects) {
    it(`${name}: every public method is classified, and nothing else is`, () => {
      assert.isEmpty(differences(name, surfaceOf(classes), Object.keys(table)))
    })

    it(`${name}: its parents are looked at as well`, () => {
      const looked = new Set<string>(classes.map(declared => declared.name))
      for (const declared of classes) {
        const parent = parentOf(declared)
        assert.isTrue(parent === undefined || looked.has(parent), `${declared.name} extends ${parent}`)
      }
    })
  }

  it('what is pure or refused says why', () => {
    const silent = subjects.flatMap(({ name, table }) =>
      Object.entries(table)
        .filter(([, { kind, why }]) => (kind === 'pure' || kind === 'refused') && !why)
        .map(([method]) => `${name}.${method}`),
    )
    assert.isEmpty(silent)
  })

  it('a method that an upgrade brings, or takes away, is named', () => {
    const text = `
      export declare class Sample {
        #private;
        protected hidden(): void;
        private secret(): void;
        readonly field: string;
        constructor(field: string);
        find(where: object): Promise<object[]>;
        find<T>(where: T): Promise<T[]>;
        get schema(): string | undefined;
        set schema(name: string | undefined);
        static create(): Sample;
        [Symbol.iterator](): Iterator<object>;
        planted(): Promise<void>;
      }`
    const declared = [...new Set(membersOf(text, 'Sample'))]
    assert.sameMembers(declared, ['find', 'schema', 'static create', '[Symbol.iterator]', 'planted'])
    assert.deepEqual(differences('Sample', declared, ['find', 'schema', 'static create', '[Symbol.iterator]', 'gone']), [
      'Sample.planted is declared and not classified',
      'Sample.gone is classified and not declared any more',
    ])
    assert.throws(() => membersOf(text, 'Other'), /no class Other any more/)
  })
})
