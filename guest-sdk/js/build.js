#!/usr/bin/env node
// `npx agent-sdk build FILE [-o OUT.wasm]`: turns an integration's file into a component, with componentize-qjs and this
// package's contract. What the file imports is found from it, and packages in `node_modules` of the folder where the
// command runs; all of it is taken in when the component is built.
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

// The version that this package is tested with.
const PINNED = "0.4.5";
const WORLD = "agent-integration";
const USAGE = "usage: agent-sdk build FILE [-o OUT.wasm]";

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}

function tool(root) {
  try {
    return createRequire(join(root, "package.json")).resolve("componentize-qjs/cli.mjs");
  } catch {
    return fail(`there is no componentize-qjs in ${root}; install it: npm install --save-dev componentize-qjs@${PINNED}`);
  }
}

const [command, file, flag, named] = process.argv.slice(2);
if (command !== "build" || !file || (flag && (flag !== "-o" || !named))) fail(USAGE);
if (!existsSync(file)) fail(`there is no ${file}; give the file that exports \`integration\``);
const root = process.cwd();
if (relative(root, resolve(file)).startsWith("..")) fail(`${file} is outside of ${root}; run this in the project's folder`);
const output = resolve(named ?? file.replace(/\.m?js$/, "") + ".wasm");
const wit = join(dirname(fileURLToPath(import.meta.url)), "package.wit");
const flags = ["--wit", wit, "--js", resolve(file), "--world", WORLD, "--module-root", root, "--output", output];
const built = spawnSync(process.execPath, [tool(root), ...flags, "--sync"], { encoding: "utf8" });
if (built.status !== 0) {
  process.stderr.write(built.stdout + built.stderr);
  process.exit(built.status ?? 1);
}
console.log(`${output} (${(statSync(output).size / 1e6).toFixed(1)} MB)`);
