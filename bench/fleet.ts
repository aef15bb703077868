/** The tenancy that is measured: its options, and tenants that are provisioned before the clock runs. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import {
  createTenancy,
  defineTenancy,
  generateKey,
  open,
  parseKeyRing,
  type Tenancy,
  type TenancyOptions,
  type TenantRecord,
} from 'mikro-tenantkit'
import { query, withClient, type Place } from './harness/place.ts'
import { fillSql, tables } from './model.ts'

/** What builds the same tenancy in another process. */
export interface FleetPlan {
  readonly url: string
  readonly keys: string
  readonly prefix: string
  readonly migrations: string
  readonly tables: number
  /** Whether PostgreSQL roles guard the schemas. */
  readonly strict: boolean
}

/** Pools: what two processes and the connections beside them may open together. */
const POOL = { shared: 10, perTenant: 2, total: 200, perServer: 250 }
/** How many tenants are provisioned at once. */
const LANES = 4
/** Statements of as many schemas are sent in one message. */
const BATCH = 50
/** What a connection string is sealed for. */
const PURPOSE = 'connection_string'

/** The options of a plan; `maxTenants` are the slots of database tenants. */
export function optionsOf(plan: FleetPlan, maxTenants = 40): TenancyOptions {
  return defineTenancy({
    entities: tables(plan.tables),
    database: { url: plan.url },
    keys: plan.keys,
    naming: { prefix: plan.prefix },
    migrations: { path: plan.migrations },
    pool: { ...POOL, maxTenants },
    ...(plan.strict ? { isolation: { strict: true } } : {}),
  })
}

/** A control plane with tenants. */
export class Fleet implements AsyncDisposable {
  readonly plan: FleetPlan
  readonly tenancy: Tenancy

  private constructor(plan: FleetPlan, tenancy: Tenancy) {
    this.plan = plan
    this.tenancy = tenancy
  }

  /** A migrated control plane without tenants, in a database of its own. */
  static async make(place: Place, label: string, more: Pick<FleetPlan, 'tables'> & Partial<FleetPlan>): Promise<Fleet> {
    const scratch = join(import.meta.dirname, '.scratch')
    await mkdir(scratch, { recursive: true })
    const migrations = await mkdtemp(join(scratch, 'migrations-'))
    const plan: FleetPlan = {
      url: await place.database(label),
      keys: generateKey('bench'),
      // What is not in the place's database, such as roles, is found by its prefix.
      prefix: `${place.prefix}${label.replace(/\W/g, '').slice(0, 2)}`,
      migrations,
      strict: false,
      ...more,
    }
    const tenancy = await createTenancy(optionsOf(plan))
    await tenancy.createMigration('shared', 'initial')
    await tenancy.createMigration('tenant', 'initial')
    await tenancy.migrate()
    return new Fleet(plan, tenancy)
  }

  /** Provisions `s0`, `s1` … by schema and answers them. */
  async schemaTenants(count: number): Promise<readonly TenantRecord[]> {
    const tenants = await this.#provision('s', count, 'schema')
    for (let begin = 0; begin < tenants.length; begin += BATCH) {
      const batch = tenants.slice(begin, begin + BATCH)
      const sql = batch.map(({ ref }) => fillSql(`${escapeIdentifier(ref.schema)}.item`)).join(';\n')
      await query(this.plan.url, sql)
    }
    return tenants
  }

  /** Provisions `d0`, `d1` … by database and answers them. */
  async databaseTenants(count: number): Promise<readonly TenantRecord[]> {
    const tenants = await this.#provision('d', count, 'database')
    for (const tenant of tenants) await withClient(this.urlOf(tenant), client => client.query(fillSql('tenant.item')))
    return tenants
  }

  /** The tenant's own connection string. */
  urlOf({ ref, connectionString }: TenantRecord): string {
    return open(parseKeyRing(this.plan.keys), connectionString!, { tenantId: ref.id, purpose: PURPOSE })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tenancy.close()
    await rm(this.plan.migrations, { recursive: true, force: true })
  }

  async #provision(letter: string, count: number, isolation: 'schema' | 'database'): Promise<readonly TenantRecord[]> {
    const tenants: TenantRecord[] = []
    let next = 0
    const lane = async (): Promise<void> => {
      for (let number = next++; number < count; number = next++) {
        const slug = `${letter}${number}x`
        await this.tenancy.runAsSystem('bench', () => this.tenancy.provision({ slug, name: `Tenant ${slug}`, isolation }))
        tenants[number] = (await this.tenancy.find(slug))!
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    return tenants
  }
}
