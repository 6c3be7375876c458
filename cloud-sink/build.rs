//! Makes the page with npm and puts it into the program: `dashboard/` becomes `ASSETS` in `assets.rs`, each file also
//! packed.
//!
//! Without node, or without what npm would load, the program has the simple page (`src/io/page.*`) and says so.
//! `WINDWARD_PAGE=whole` makes that an error; `WINDWARD_PAGE=FOLDER` takes what npm has made elsewhere.
#![allow(clippy::unwrap_used, reason = "a build ends by panicking")]

use flate2::Compression;
use flate2::write::GzEncoder;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the page is made of.
const SOURCES: [&str; 7] =
    ["index.html", "package.json", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WINDWARD_PAGE");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let mut assets = Vec::new();
    if env::var_os("CARGO_FEATURE_SHELL").is_some() {
        for source in SOURCES {
            println!("cargo:rerun-if-changed=dashboard/{source}");
        }
        let wanted = env::var("WINDWARD_PAGE").unwrap_or_default();
        let elsewhere = Path::new(&wanted).is_absolute().then(|| PathBuf::from(&wanted));
        match elsewhere.map_or_else(|| made(&out), Ok) {
            Ok(made) => assets = files(&made, &made),
            Err(why) if wanted == "whole" => panic!("the page: {why}"),
            Err(why) => println!("cargo:warning=the page is the simple one, without charts: {why}"),
        }
    }
    fs::write(out.join("assets.rs"), listed(&out, &assets)).unwrap();
}

/// The folder that npm has made of a copy of the sources: several builds may go on beside each other.
fn made(out: &Path) -> Result<PathBuf, String> {
    let work = out.join("dashboard");
    for source in SOURCES {
        let to = work.join(source);
        drop(fs::remove_dir_all(&to));
        copy(&Path::new("dashboard").join(source), &to).map_err(|error| format!("{source}: {error}"))?;
    }
    if !fs::read(work.join("installed")).is_ok_and(|was| was == fs::read("dashboard/package-lock.json").unwrap()) {
        npm(&work, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
        fs::copy("dashboard/package-lock.json", work.join("installed")).map_err(|error| error.to_string())?;
    }
    npm(&work, &["run", "--silent", "build"])?;
    Ok(work.join("dist"))
}

fn npm(work: &Path, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("npm").args(arguments).current_dir(work).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("npm cannot be started ({error}); install Node.js 20 with npm"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("npm {} failed: {}", arguments[0], said.lines().take(5).collect::<Vec<_>>().join("; ")))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::create_dir_all(to.parent().unwrap()).and_then(|()| fs::copy(from, to)).map(drop);
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The files below a folder, by their address.
fn files(root: &Path, folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(root, &path));
        } else {
            found.push((format!("/{}", path.strip_prefix(root).unwrap().display()), path));
        }
    }
    found.sort();
    found
}

/// The table, as source.
fn listed(out: &Path, assets: &[(String, PathBuf)]) -> String {
    let mut source = String::from("/// Address, kind, the file, and the file packed with gzip.\n");
    source += "pub(super) static ASSETS: &[(&str, &str, &[u8], &[u8])] = &[\n";
    for (index, (address, path)) in assets.iter().enumerate() {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        };
        let packed = out.join(format!("asset-{index}.gz"));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&fs::read(path).unwrap()).unwrap();
        fs::write(&packed, gzip.finish().unwrap()).unwrap();
        writeln!(source, "    ({address:?}, {kind:?}, include_bytes!({path:?}), include_bytes!({packed:?})),").unwrap();
    }
    source + "];\n"
}
