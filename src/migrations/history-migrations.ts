/** The framework's own migrations of the history: the same two tables in the control plane and in each tenant. */
import { CHAIN_TABLE, EVENT_TABLE } from '../history/audit-event.ts'
import { SharedMigration, TenantMigration } from './migration.ts'

/**
 * `tx` is the transaction that wrote the event: what tells the sealer which events can have no predecessor any more.
 * `json` keeps the text as it was written, which is what is hashed.
 */
const HISTORY_SQL: readonly string[] = [
  `create table "${EVENT_TABLE}" (
    "id" uuid not null,
    "entity" varchar(255) not null,
    "entity_id" text null,
    "action" varchar(63) not null,
    "actor" varchar(255) not null,
    "at" timestamptz(3) not null,
    "request_id" text null,
    "changes" json not null,
    "details" json null,
    "count" int not null,
    "cascade_id" uuid null,
    "tx" xid8 not null default pg_catalog.pg_current_xact_id(),
    "position" bigint null,
    "hash" varchar(64) null,
    "previous_hash" varchar(64) null,
    constraint "${EVENT_TABLE}_pkey" primary key ("id"))`,
  `create index "${EVENT_TABLE}_entity_index" on "${EVENT_TABLE}" ("entity", "entity_id", "id")`,
  `create index "${EVENT_TABLE}_actor_index" on "${EVENT_TABLE}" ("actor", "id")`,
  `create unique index "${EVENT_TABLE}_position_unique" on "${EVENT_TABLE}" ("position") where "position" is not null`,
  `create index "${EVENT_TABLE}_unsealed_index" on "${EVENT_TABLE}" ("tx", "id") where "position" is null`,
  `create table "${CHAIN_TABLE}" (
    "name" varchar(63) not null,
    "anchor_position" bigint not null,
    "anchor_hash" varchar(64) not null,
    "head_position" bigint not null,
    "head_hash" varchar(64) not null,
    constraint "${CHAIN_TABLE}_pkey" primary key ("name"))`,
  `insert into "${CHAIN_TABLE}" ("name", "anchor_position", "anchor_hash", "head_position", "head_hash")
    values ('chain', 0, pg_catalog.repeat('0', 64), 0, pg_catalog.repeat('0', 64))`,
]

/** Creates the control plane's history, and marks all tenants as behind: theirs comes with a migration of their own. */
export class Tenantkit0002History extends SharedMigration {
  override up(): void {
    for (const sql of HISTORY_SQL) this.addSql(sql)
    // A tenant's version is the last migration it has applied, which does not tell that one before it is new.
    this.addSql(`update "tenantkit_tenant" set "schema_version" = null where "schema_version" is not null`)
  }
}

/** Creates a tenant's history. */
export class Tenantkit0001TenantHistory extends TenantMigration {
  override up(): void {
    for (const sql of HISTORY_SQL) this.addSql(sql)
  }
}
