// Frontends that are installed, built and served in a folder outside of the repository.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export async function eventually(what, holds) {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    assert(Date.now() < deadline, `not in time: ${what}`);
    await sleep(20);
  }
}

/** A folder outside of the repository. */
export class Frontend {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "symbolon-frontend-"));
  }

  npm(args, env) {
    const options = { cwd: this.folder, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] };
    execFileSync("npm", args, options);
  }

  /** Serves the built pages at an origin of this machine. */
  async serve(origin) {
    const vite = join(this.folder, "node_modules/vite/bin/vite.js");
    const { hostname, port } = new URL(origin);
    const args = [vite, "preview", "--host", hostname, "--port", port, "--strictPort"];
    this.server = spawn(process.execPath, args, { cwd: this.folder, stdio: "inherit" });
    const isServed = () => fetch(origin).then(() => true, () => false);
    await eventually("the frontend is served", isServed);
  }

  close() {
    this.server?.kill();
    rmSync(this.folder, { recursive: true });
  }
}
