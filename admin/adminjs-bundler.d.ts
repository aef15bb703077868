/** AdminJS gives its bundler no types; scripts/bundle-admin.ts says what it uses of it. */
declare module 'adminjs/bundler'
