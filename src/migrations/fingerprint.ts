/**
 * What stands in a tenant's schema, object by object, and a fingerprint of it.
 *
 * Neither depends on the name of the schema or the database: the tenant's own name is taken out of every definition. Rights, owners,
 * comments, rows and the order of columns are no part of it. One query reads any number of schemas of one database, by the index of
 * `pg_depend`: looking into `pg_class` by its schema would read every table of every tenant.
 */
import { createHash } from 'node:crypto'

/** A connection that reads the catalog. Its search_path must be empty: PostgreSQL writes names by it. */
export interface CatalogReader {
  query<R = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]): Promise<{ rows: R[] }>
}

/** The definitions in a schema, by what they define: `column book.title` is `character varying(255) not null`. */
export type SchemaObjects = ReadonlyMap<string, string>

/** One object that is not as it should be. */
export interface ObjectDifference {
  /** `missing` is expected and not there; `added` is there and not expected. */
  readonly kind: 'missing' | 'added' | 'changed'
  /** `table book`, `column book.title`, `index book.book_title_index`. */
  readonly object: string
  readonly expected?: string
  readonly actual?: string
}

/** Between an object and its definition, and between two of them: no name holds them. */
const UNIT = '\u001f'
const RECORD = '\u001e'

/**
 * The fingerprints of schemas: SHA-256 in hexadecimal, the same for two that hold the same. A schema that does not exist has none.
 *
 * They are computed in PostgreSQL: 64 characters for each schema travel, whatever is in it.
 */
export async function fingerprintsOf(reader: CatalogReader, schemas: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await reader.query<{ schema: string; fingerprint: string }>(
    `${OBJECTS} select p.name as schema, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(
       o.object || $2 || o.definition, $3 order by o.object collate "C", o.definition collate "C"), ''), 'UTF8')), 'hex') as fingerprint
     from place p left join neutral o on o.schema = p.name group by p.name`,
    [schemas, UNIT, RECORD],
  )
  return new Map(rows.map(({ schema, fingerprint }) => [schema, fingerprint]))
}

/** What stands in schemas. A schema that does not exist has no entry, an empty one an empty entry. */
export async function objectsOf(reader: CatalogReader, schemas: readonly string[]): Promise<ReadonlyMap<string, SchemaObjects>> {
  const { rows } = await reader.query<{ schema: string; object: string | null; definition: string }>(
    `${OBJECTS} select p.name as schema, o.object, o.definition from place p left join neutral o on o.schema = p.name
     order by o.object collate "C", o.definition collate "C"`,
    [schemas],
  )
  const all = new Map<string, Map<string, string>>()
  for (const { schema, object, definition } of rows) {
    const objects = all.get(schema) ?? new Map<string, string>()
    all.set(schema, objects)
    if (object !== null) objects.set(object, definition)
  }
  return all
}

/** The fingerprint of what was read: that of {@link fingerprintsOf}. */
export function fingerprintOf(objects: SchemaObjects): string {
  const text = [...objects].map(([object, definition]) => object + UNIT + definition).join(RECORD)
  return createHash('sha256').update(text).digest('hex')
}

/** How two schemas differ, object by object. The columns, indexes and constraints of a missing or added table go without saying. */
export function differencesOf(expected: SchemaObjects, actual: SchemaObjects): readonly ObjectDifference[] {
  const differences: ObjectDifference[] = []
  for (const [object, definition] of expected) {
    const found = actual.get(object)
    if (found === undefined) differences.push({ kind: 'missing', object, expected: definition })
    else if (found !== definition) differences.push({ kind: 'changed', object, expected: definition, actual: found })
  }
  for (const [object, definition] of actual) {
    if (!expected.has(object)) differences.push({ kind: 'added', object, actual: definition })
  }
  const whole = new Set(
    differences.filter(({ kind }) => kind !== 'changed').flatMap(({ object }) => /^table (.+)$/s.exec(object)?.[1] ?? []),
  )
  return differences
    .filter(({ object }) => !whole.has(/^(?:column|constraint|index|trigger|policy|rule) (.+?)\./s.exec(object)?.[1] ?? ''))
    .toSorted((a, b) => (a.object < b.object ? -1 : 1))
}

/** What an extension brought is the extension's. */
const NOT_OF_AN_EXTENSION = `not exists (select from pg_catalog.pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')`

const inSchema = (catalog: string) =>
  `pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = p.oid
     and d.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass and d.objsubid = 0 and ${NOT_OF_AN_EXTENSION}`

/**
 * `place`: the schemas that exist; `neutral`: schema, object and definition without the schema's name. NOT NULL stands with the columns: since
 * PostgreSQL 18 it has constraints of its own. An index of a constraint stands with its constraint.
 */
const OBJECTS = `with place as materialized (
    select n.oid, n.nspname::text as name from pg_catalog.pg_namespace n where n.nspname = any($1::pg_catalog.name[])
  ), relation as materialized (
    select p.name as schema, c.oid, c.relname::text as name, c.relkind as kind,
      c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.reloptions
    from place p join ${inSchema('pg_class')} join pg_catalog.pg_class c on c.oid = d.objid
  ), object (schema, object, definition) as (
    select schema, 'table ' || name, pg_catalog.concat_ws(' ', case kind when 'p' then 'partitioned by ' || pg_catalog.pg_get_partkeydef(oid) when 'f' then 'foreign' else 'ordinary' end,
        case relpersistence when 'u' then 'unlogged' end, case when relispartition then 'partition' end,
        case when relrowsecurity then 'row security' end, case when relforcerowsecurity then 'forced' end, reloptions::text)
      from relation where kind in ('r', 'p', 'f')
    union all select schema, 'view ' || name, pg_catalog.pg_get_viewdef(oid) from relation where kind = 'v'
    union all select schema, 'materialized view ' || name, pg_catalog.pg_get_viewdef(oid) from relation where kind = 'm'
    union all select r.schema, 'sequence ' || r.name, pg_catalog.concat_ws(' ', pg_catalog.format_type(s.seqtypid, null), 'start', s.seqstart,
        'increment', s.seqincrement, 'from', s.seqmin, 'to', s.seqmax, 'cache', s.seqcache, case when s.seqcycle then 'cycle' end)
      from relation r join pg_catalog.pg_sequence s on s.seqrelid = r.oid where r.kind = 'S'
    union all select r.schema, 'column ' || r.name || '.' || a.attname, pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
        case when a.attcollation <> t.typcollation then 'collate ' || (select pg_catalog.quote_ident(c.collname) from pg_catalog.pg_collation c where c.oid = a.attcollation) end,
        case when a.attnotnull then 'not null' end,
        case a.attidentity when 'a' then 'generated always as identity' when 'd' then 'generated by default as identity' end,
        case a.attgenerated when '' then 'default ' when 's' then 'stored ' else 'generated ' end || pg_catalog.pg_get_expr(v.adbin, v.adrelid))
      from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
        join pg_catalog.pg_type t on t.oid = a.atttypid
        left join pg_catalog.pg_attrdef v on v.adrelid = a.attrelid and v.adnum = a.attnum
      where r.kind in ('r', 'p', 'f')
    union all select r.schema, 'constraint ' || r.name || '.' || k.conname, pg_catalog.pg_get_constraintdef(k.oid)
      from relation r join pg_catalog.pg_constraint k on k.conrelid = r.oid and k.contype <> 'n'
    union all select r.schema, 'index ' || r.name || '.' || c.relname, pg_catalog.pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' invalid' end
      from relation r join pg_catalog.pg_index i on i.indrelid = r.oid join pg_catalog.pg_class c on c.oid = i.indexrelid
      where not exists (select from pg_catalog.pg_constraint k where k.conrelid = r.oid and k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    union all select r.schema, 'trigger ' || r.name || '.' || t.tgname, pg_catalog.pg_get_triggerdef(t.oid) || case when t.tgenabled = 'O' then '' else ' ' || t.tgenabled::text end
      from relation r join pg_catalog.pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    union all select r.schema, 'policy ' || r.name || '.' || y.polname, pg_catalog.concat_ws(' ', y.polcmd, y.polpermissive,
        pg_catalog.pg_get_expr(y.polqual, y.polrelid), pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid))
      from relation r join pg_catalog.pg_policy y on y.polrelid = r.oid
    union all select r.schema, 'rule ' || r.name || '.' || w.rulename, pg_catalog.pg_get_ruledef(w.oid)
      from relation r join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.rulename <> '_RETURN'
    union all select p.name, 'function ' || f.proname || '(' || pg_catalog.pg_get_function_identity_arguments(f.oid) || ')',
        pg_catalog.concat_ws(' ', f.prokind, pg_catalog.pg_get_function_result(f.oid), l.lanname, f.provolatile, case when f.prosecdef then 'security definer' end,
          pg_catalog.md5(f.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), '')))
      from place p join ${inSchema('pg_proc')} join pg_catalog.pg_proc f on f.oid = d.objid join pg_catalog.pg_language l on l.oid = f.prolang
    union all select p.name, 'type ' || t.typname, case t.typtype
        when 'e' then 'enum ' || (select pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = t.oid)
        when 'd' then pg_catalog.concat_ws(' ', 'domain', pg_catalog.format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, 'default ' || t.typdefault,
          (select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ' order by k.conname collate "C") from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'))
        when 'c' then 'composite ' || (select pg_catalog.string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
          from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
        else t.typtype::text end
      from place p join ${inSchema('pg_type')} join pg_catalog.pg_type t on t.oid = d.objid
  ), neutral as (
    select o.schema, pg_catalog.regexp_replace(o.object, own.name, '\\1', 'g') as object, pg_catalog.regexp_replace(o.definition, own.name, '\\1', 'g') as definition
    from object o, lateral (select '(^|[^A-Za-z0-9_$"])"?' || o.schema || '"?\\.' as name) own
  )`
