import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  // The sink forbids inline scripts and data: addresses, so every asset is a file of its own.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: true },
  // In development the API is that of a sink on this machine: `cargo run --release --bin farm`.
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
