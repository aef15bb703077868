/**
 * How much stands in schemas, by the catalog and the file system of PostgreSQL: nothing is counted row by row.
 *
 * Bytes are those of the tables with their indexes and their long values (TOAST). Rows are `reltuples`, which vacuum and analyze keep; a
 * table that neither has visited yet has none, and is taken from the statistics of what was written. One query reads any number of schemas.
 */

/** What stands in a schema. */
export interface SchemaUsage {
  readonly schema: string
  readonly bytes: number
  readonly tables: number
  readonly rows: number
}

export interface UsageRow {
  readonly schema: string
  /** As text: more than a 32-bit number holds. */
  readonly bytes: string
  readonly tables: number
  readonly rows: string
  /** Bytes of the whole database, where that is asked for. */
  readonly whole: string | null
}

/**
 * By the index of `pg_depend`: looking into `pg_class` by its schema would read every table of every tenant. Partitions count as part of
 * their table, and their bytes and rows are theirs; a table that is dropped meanwhile has no size.
 */
const measured = (schemas: string, whole: string): string => `select n.nspname::text as schema,
    coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)) filter (where c.relkind in ('r', 'm')), 0)::text as bytes,
    count(*) filter (where c.relkind in ('r', 'p') and not c.relispartition)::int as tables,
    coalesce(sum(case when c.reltuples >= 0 then c.reltuples else pg_catalog.pg_stat_get_live_tuples(c.oid) end)
      filter (where c.relkind in ('r', 'm')), 0)::bigint::text as rows,
    ${whole}::text as whole
  from pg_catalog.pg_namespace n
    left join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = n.oid
      and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objsubid = 0
    left join pg_catalog.pg_class c on c.oid = d.objid and c.relkind in ('r', 'p', 'm')
  where n.nspname ${schemas} group by n.nspname`

/** Of the schemas that exist among those given. */
export const MEASURE_SCHEMAS = measured('= any($1::pg_catalog.name[])', 'null')

/** Of one schema, with the size of the whole database. */
export const MEASURE_DATABASE = measured('= ?::pg_catalog.name', 'pg_catalog.pg_database_size(pg_catalog.current_database())')

/** What a row of {@link MEASURE_SCHEMAS} says. */
export function schemaUsageOf({ schema, bytes, tables, rows }: UsageRow): SchemaUsage {
  return { schema, bytes: Number(bytes), tables, rows: Number(rows) }
}

/** What a row of {@link MEASURE_DATABASE} says: all of a database is the tenant's. */
export function databaseUsageOf(row: UsageRow): SchemaUsage {
  return { ...schemaUsageOf(row), bytes: Number(row.whole) }
}
