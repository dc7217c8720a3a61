/** What a bundle's files may look like, from a server and in a zip, and what is refused. */

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import test, { after, before } from "node:test";
import { strToU8, zipSync } from "fflate";
import { download } from "../../src/download.js";
import { checkPath, openFiles } from "../../src/files.js";
import { parseManifest } from "../../src/manifest.js";
import { encodeRle } from "../../src/rle.js";
import { twinKey } from "../../src/schema.js";

const MOST = 1000;
let server: Server;
let address: string;
const asked: string[] = [];

before(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.statusCode = request.url?.includes("missing") ? 404 : request.url?.includes("broken") ? 500 : 200;
    response.end("x".repeat(500));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://localhost:${(server.address() as AddressInfo).port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

function zip(files: Record<string, string>): Blob {
  const bytes = zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, strToU8(text)])));
  return new Blob([bytes as Uint8Array<ArrayBuffer>]);
}

test("paths that leave the bundle are refused", () => {
  for (const name of ["/etc/passwd", "../a", "a/../../b", "a\\b", "C:a", "", ".", "a\n", "\ud800"]) {
    assert.throws(() => checkPath(name, "here"), { name: "BundleError", message: /^here: the path .* refused\.$/ });
  }
  for (const name of ["a", "onnxruntime/image.onnx", "a..b", "%2e%2e/a"]) checkPath(name, "here");
});

test("no sign in a name means anything in an address", async () => {
  const files = await openFiles(`${address}/cars.cgsam?key=1`);
  await files.read("a/%2e%2e?x#y", MOST);
  assert.equal(asked.at(-1), "/cars.cgsam/a/%252e%252e%3Fx%23y?key=1");
});

test("a download ends where a file is longer than it may be", async () => {
  assert.equal((await download(`${address}/a`, { most: 100 }))?.length, 101);
  assert.equal((await download(`${address}/a`, { most: MOST }))?.length, 500);
  assert.equal(await download(`${address}/missing`, { most: MOST }), null);
  await assert.rejects(download(`${address}/broken`, { most: MOST }), /the server answered 500/);
  await assert.rejects(download("http://localhost:1/a", { most: MOST }), /cannot be fetched .*CORS/);
  await assert.rejects(openFiles(`${address}/missing.zip`), /missing\.zip: no such bundle/);
  await assert.rejects(openFiles("not an address"), /not the address of a bundle/);
});

test("whoever waits hears of the download", async () => {
  const heard: number[] = [];
  await download(`${address}/a`, { most: MOST, progress: (loaded) => heard.push(loaded) });
  assert.equal(heard.at(-1), 500);
});

test("a zip holds one bundle, at its root or in a folder", async () => {
  for (const folder of ["", "cars.cgsam/"]) {
    const files = await openFiles(zip({ [`${folder}manifest.json`]: "{}", [`${folder}a/b`]: "text" }));
    assert.equal(new TextDecoder().decode((await files.read("a/b", MOST)) ?? undefined), "text");
    assert.equal(await files.read("c", MOST), null);
  }
  await assert.rejects(openFiles(zip({ a: "text" })), /not a bundle \(it has no manifest\.json\)/);
  await assert.rejects(openFiles(zip({ "a/manifest.json": "", "b/manifest.json": "" })), /holds 2 bundles/);
  await assert.rejects(openFiles(new Blob(["no zip"])), /not a zip, or a damaged one/);
});

test("a file of a zip that would unpack to more than it may is not unpacked", async () => {
  const files = await openFiles(zip({ "manifest.json": "{}", bomb: "0".repeat(10_000_000) }));
  const found = await files.read("bomb", 5);
  assert.equal(found?.length, 6);
});

test("two files of one name are refused", async () => {
  const bytes = new Uint8Array(await zip({ "manifest.json": "{}", "manifest.jsoN": "{}" }).arrayBuffer());
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const twins = Uint8Array.from(text.replaceAll("manifest.jsoN", "manifest.json"), (one) => one.charCodeAt(0));
  await assert.rejects(openFiles(new Blob([twins])), /two files of the name "manifest\.json"/);
});

test("a key that stands twice in one object is found, and in two objects is none", () => {
  assert.equal(twinKey('{"a": {"b": 1}, "c": [{"b": 2}], "a": 3}'), "a");
  assert.equal(twinKey('{"a": 1, "\\u0061": 2}'), "a");
  assert.equal(twinKey('{"a": {"a": ["a", "a"]}, "b": "a"}'), null);
  const text = '{"format": "cgsam-bundle", "format_version": 1, "files": {}, "files": {}}';
  assert.throws(() => parseManifest(text, "m"), /the key "files" stands there twice/);
});

test("run lengths are those of pycocotools", () => {
  // pycocotools.mask.encode of these masks, in its order of columns.
  assert.equal(encodeRle(Uint8Array.of(0, 1, 1, 0, 1, 1), 3, 2).counts, "24");
  assert.equal(encodeRle(Uint8Array.of(1, 0, 0, 1), 2, 2).counts, "0120");
  assert.equal(encodeRle(new Uint8Array(6), 3, 2).counts, "6");
});
