/** The public list of `mikro-tenantkit/testing`. Nothing inside imports it. */
export { createTestTenancy, type TestTenancy, type TestTenancyOptions } from './test-tenancy.ts'
