//! All files of a folder, on all cores.

use super::file::{self, Done, Job};
use super::{Options, alerts, progress};
use crate::replay::Counts;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// What a folder holds, by paths relative to it, in their order.
#[derive(Debug, Default)]
struct Found {
    /// Tables and their sizes in bytes.
    tables: Vec<(PathBuf, u64)>,
    /// How many other files there are.
    others: usize,
}

/// Sums over files.
#[derive(Debug, Default)]
struct Total {
    files: usize,
    failed: usize,
    rows: u64,
    months: f64,
    opened: BTreeMap<windward_protocol::AlertKind, u64>,
}

pub(super) fn replay(input: &Path, output: &Path, options: &Options, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut found = Found::default();
    walk(input, Path::new(""), &mut found)?;
    found.tables.sort();
    anyhow::ensure!(!found.tables.is_empty(), "no *.csv below {}", input.display());
    let (whence, whither) = (place(input)?, place(output)?);
    if whence.starts_with(&whither) || whither.starts_with(&whence) {
        anyhow::bail!("{} and {} lie within each other", input.display(), output.display());
    }
    let bar = progress(found.tables.iter().map(|(_, size)| size).sum(), options);
    let mut total = Total::default();
    let one = |path: &Path| -> anyhow::Result<Done> {
        let (input, output) = (input.join(path), output.join(path));
        if let Some(folder) = output.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
        }
        file::replay(&Job { input: &input, output: &output, plot: None }, options, &|bytes| bar.inc(bytes))
    };
    on_all_cores(&found.tables, &one, |path, done| {
        bar.suspend(|| total.take(path, done, options, out))?;
        bar.set_message(format!("{} of {} files", total.files, found.tables.len()));
        Ok(())
    })?;
    bar.finish_and_clear();
    total.print(found.others, out)?;
    Ok(total.failed == 0)
}

impl Total {
    fn take(
        &mut self,
        path: &Path,
        done: anyhow::Result<Done>,
        options: &Options,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        self.files += 1;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.failed += 1;
                eprintln!("{}: {error:#}", path.display());
                return Ok(());
            }
        };
        if let Some(note) = done.note {
            eprintln!("{}: {note}", path.display());
        }
        let summary = done.summary;
        self.rows += summary.rows;
        self.months += summary.months();
        for (&kind, n) in &summary.opened {
            *self.opened.entry(kind).or_default() += n;
        }
        if !options.quiet {
            writeln!(out, "{}: {summary}", path.display())?;
            alerts(&summary, out)?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn print(&self, others: usize, out: &mut impl Write) -> std::io::Result<()> {
        if others > 0 {
            writeln!(out, "passed over: {others} files that are no *.csv")?;
        }
        if self.failed > 0 {
            writeln!(out, "failed: {} files", self.failed)?;
        }
        let (well, months) = (self.files - self.failed, self.months);
        writeln!(out, "replayed: {well} files, {} rows, {months:.3} months", self.rows)?;
        writeln!(out, "alerts: {}", Counts { opened: &self.opened, months })
    }
}

/// Does `one` to each path on as many threads as there are cores, the largest files first so that none is left for the
/// end, and gives what came of it to `take` in the order of the paths.
fn on_all_cores(
    tables: &[(PathBuf, u64)],
    one: &(dyn Fn(&Path) -> anyhow::Result<Done> + Sync),
    mut take: impl FnMut(&Path, anyhow::Result<Done>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(tables[index].1));
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(tables.len());
    let (next, order) = (AtomicUsize::new(0), &order);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send((index, one(&tables[index].0))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut at) = (BTreeMap::new(), 0);
        for (index, done) in receiver {
            waiting.insert(index, done);
            while let Some(done) = waiting.remove(&at) {
                take(&tables[at].0, done)?;
                at += 1;
            }
        }
        Ok(())
    })
}

/// Where a folder is, or will be, without links.
fn place(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let found = folder.ancestors().find_map(|parent| Some((parent, fs::canonicalize(parent).ok()?)));
    Ok(match found {
        Some((parent, real)) => real.join(folder.strip_prefix(parent)?),
        None => folder,
    })
}

/// Adds what lies in the folder `below` of `root` to `found`. Links to folders are not followed: they may lead in circles.
fn walk(root: &Path, below: &Path, found: &mut Found) -> anyhow::Result<()> {
    // Joined to nothing it would end with a slash.
    let folder = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
    let cannot = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(&folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let path = below.join(entry.file_name());
        if entry.file_type().with_context(cannot)?.is_dir() {
            walk(root, &path, found)?;
            continue;
        }
        let file = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file);
        match file.filter(|_| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))) {
            Some(file) => found.tables.push((path, file.len())),
            None => found.others += 1,
        }
    }
    Ok(())
}
