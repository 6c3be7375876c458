//! What a slave is: what it says of itself, SunSpec, the profiles, and at last its bare registers.

use super::Work;
use super::line::Line;
use crate::config::{Bus, Function, How, Limits, Register};
use crate::probe::fit::{Fit, POSSIBLE, SUGGESTED, Signs, fit, identity};
use crate::probe::plausible::{Candidate, plausible};
use crate::probe::sunspec::{self, Model};
use crate::probe::sweep::delivered_with;
use crate::probe::{Known, allowed, forbidden, registers, table};
use crate::watch::modbus::{self, decode, plan};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;
use windward_protocol::{NoData, Reading};

/// Time between samples: what moves shows itself, and the electrician need not wait.
const SAMPLE_EVERY: Duration = Duration::from_millis(300);
/// Times that a profile which may fit is read.
const PROFILE_SAMPLES: usize = 3;
/// Times that bare registers are read.
const REGISTER_SAMPLES: usize = 8;
/// Bare registers 0 to one less than this are read, so many at a time.
const SCANNED: u16 = 128;
const BLOCK: u16 = 32;
/// After so many requests in a row without any reply a profile is given up, or a table: some devices are silent where
/// others refuse, and from a block down to one register there are six steps.
const PROFILE_SILENCES: usize = 2;
const TABLE_SILENCES: usize = 6;
/// Values of unknown registers that are put into a configuration, and shown.
const MOST_VALUES: usize = 8;
/// Less plausible values are not put into a configuration while there are better ones.
const GOOD: f64 = 0.35;

/// What was found out about a device.
pub(super) struct Finding {
    /// For people, line by line.
    pub(super) told: Vec<String>,
    /// For the configuration; `None`: nothing that can be read.
    pub(super) table: Option<String>,
}

/// Examines one slave. `suffix` makes its name unique where several hosts are probed.
pub(super) async fn examine(line: &mut Line, slave: u8, suffix: &str, work: &Work) -> Finding {
    let steps = work.known.len() + 1 + 2 * usize::from(SCANNED / BLOCK) + REGISTER_SAMPLES;
    work.progress.start(steps);
    work.progress.stage(format!("{}, slave {slave}: what it is", line.link));
    let suffix: String = suffix.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
    let dash = if suffix.is_empty() { "" } else { "-" };
    let mut subject = Subject { line, slave, work, told: Vec::new(), names: format!("{slave}{dash}{suffix}") };
    subject.told.push(format!("{}, slave {slave}:", subject.line.link));
    let says = subject.identify().await;
    work.progress.step();
    let mut found = subject.sunspec().await;
    if found.is_none() {
        found = subject.profiles(says.as_ref()).await;
    }
    if found.is_none() {
        found = subject.scan().await;
    }
    work.progress.clear();
    Finding { told: subject.told, table: found }
}

struct Subject<'a> {
    line: &'a mut Line,
    slave: u8,
    work: &'a Work,
    told: Vec<String>,
    /// What its name in the configuration ends with.
    names: String,
}

impl Subject<'_> {
    fn tell(&mut self, what: impl std::fmt::Display) {
        self.told.push(format!("  {what}"));
    }

    async fn read(&mut self, function: Function, start: u16, count: u16) -> Result<Vec<u16>, NoData> {
        self.line.read(self.slave, function, start, count).await
    }

    /// Vendor and product, if it says them.
    async fn identify(&mut self) -> Option<(String, String)> {
        let says = self.line.identify(self.slave).await;
        if says.is_empty() {
            return None;
        }
        let texts: Vec<String> = says.values().filter(|text| !text.is_empty()).cloned().collect();
        self.tell(format_args!("says of itself: {}", texts.join(", ")));
        let of = |ids: &[u8]| ids.iter().filter_map(|id| says.get(id).cloned()).collect::<Vec<_>>().join(" ");
        Some((of(&[0]), of(&[1, 4, 5])))
    }

    /// The models of a SunSpec map, and the table of its inverter.
    async fn sunspec(&mut self) -> Option<String> {
        let mut base = None;
        for start in sunspec::BASES {
            if self.read(Function::Holding, start, 2).await.is_ok_and(|words| sunspec::is_marker(&words)) {
                base = Some(start);
                break;
            }
        }
        let base = base?;
        self.tell(format_args!("SunSpec map at holding {base}:"));
        let (mut at, mut inverter) = (base + 2, None);
        for _ in 0..sunspec::MAX_MODELS {
            let Ok(words) = self.read(Function::Holding, at, 2).await else { break };
            let Some((model, next)) = sunspec::model(at, &words) else { break };
            self.tell(format_args!(
                "  {at}: model {}, {} registers: {}",
                model.id,
                model.length,
                sunspec::title(model.id)
            ));
            if model.id == 1 {
                self.common(model).await;
            }
            if inverter.is_none() {
                inverter = sunspec::profile(model.id).map(|profile| (profile, model));
            }
            at = next;
        }
        let (profile, model) = inverter?;
        let known = self.work.known.iter().find(|known| known.name == profile)?;
        self.tell(format_args!("How sure: certain; SunSpec says itself what stands where (profile {profile})."));
        let name = format!("inverter-{}", self.names);
        Some(table::of_profile(&name, profile, &self.line.link, self.slave, &sunspec::moved(known, model)))
    }

    async fn common(&mut self, model: Model) {
        for (name, offset, words) in sunspec::TEXTS {
            if let Ok(words) = self.read(Function::Holding, model.at.saturating_add(offset), words).await {
                self.tell(format_args!("    {name}: {}", modbus::text(&words)));
            }
        }
    }

    /// Tries every profile for Modbus devices; gives the table of the best, if it fits.
    async fn profiles(&mut self, says: Option<&(String, String)>) -> Option<String> {
        let work = self.work;
        let mut fits: Vec<(Fit, Signs, &Known)> = Vec::new();
        // Templates fit anything, and SunSpec says itself that it is there.
        let template = |known: &&Known| known.name.starts_with("generic-") || known.name.starts_with("sunspec-");
        let modbus = |known: &&Known| matches!(known.bus, Bus::Modbus { .. });
        for known in work.known.iter().filter(modbus).filter(|known| !template(known)) {
            work.progress.detail(format!("slave {}: is it {}?", self.slave, known.name));
            let said = says.and_then(|(vendor, product)| identity(known.identify.as_ref(), vendor, product));
            let signs = Signs {
                line: delivered_with(known, &self.line.link),
                slave: matches!(known.device.how, How::Modbus { slave, .. } if slave == self.slave),
                identity: said,
            };
            fits.push((self.try_profile(known, signs).await, signs, known));
            work.progress.step();
        }
        fits.sort_by(|a, b| b.0.sure.total_cmp(&a.0.sure));
        // What the device says of itself goes before what its registers look like.
        let named = fits.iter().any(|(_, signs, _)| signs.identity == Some(true));
        fits.retain(|(fit, signs, _)| fit.sure >= POSSIBLE && (!named || signs.identity == Some(true)));
        for (Fit { sure, why }, _, known) in &fits {
            self.tell(format_args!("profile {}: {:.0} % sure; {why}", known.name, sure * 100.0));
        }
        let (best, _, known) = fits.first().filter(|(fit, ..)| fit.sure >= SUGGESTED)?;
        self.tell(format_args!("How sure: {:.0} % that it is {}.", best.sure * 100.0, known.name));
        let name = format!("{}-{}", known.name, self.names);
        Some(table::of_profile(&name, known.name, &self.line.link, self.slave, &[]))
    }

    async fn try_profile(&mut self, known: &Known, signs: Signs) -> Fit {
        let forbidden = forbidden(&self.work.known);
        let may = |register: &Register| {
            let exponent = register.exponent.is_none_or(|at| allowed(&forbidden, register.function, at, 1));
            exponent && allowed(&forbidden, register.function, register.start, register.kind.words())
        };
        let (indexes, wanted): (Vec<usize>, Vec<(&Register, u32)>) = registers(&known.device)
            .filter(|(_, register)| may(register))
            .map(|(index, register)| (index, (register, 1)))
            .unzip();
        let limits = match known.device.how {
            How::Modbus { limits, .. } => Limits { max_gap: 0, ..limits },
            _ => return fit(known, signs, &[]),
        };
        let (requests, places) = plan(&wanted, &limits);
        let mut samples = Vec::new();
        for sample in 0..PROFILE_SAMPLES {
            if sample > 0 {
                sleep(SAMPLE_EVERY).await;
            }
            let answers = self.ask_all(&requests).await;
            let mut readings: Vec<Option<Reading>> = vec![None; known.device.channels.len()];
            for ((index, (register, _)), place) in indexes.iter().zip(&wanted).zip(&places) {
                let words = answers[place.request].as_deref().map_err(|reason| *reason);
                let exponent = match place.exponent {
                    Some((request, word)) => {
                        answers[request].as_deref().ok().and_then(|words| words.get(word).copied())
                    }
                    None => None,
                };
                let scaling = &known.device.channels[*index].scaling;
                let words = words.map(|words| words.get(place.word..).unwrap_or_default());
                readings[*index] = Some(words.and_then(|words| decode(register, scaling, words, exponent)));
            }
            samples.push(readings);
            if fit(known, signs, &samples).sure < POSSIBLE {
                break;
            }
        }
        fit(known, signs, &samples)
    }

    /// One answer a request; the rest is not asked once the slave has stopped replying.
    async fn ask_all(&mut self, requests: &[modbus::Request]) -> Vec<Result<Vec<u16>, NoData>> {
        let (mut answers, mut silences) = (Vec::new(), 0);
        for request in requests {
            if silences == PROFILE_SILENCES {
                answers.push(Err(NoData::Timeout));
                continue;
            }
            let answer = self.read(request.function, request.start, request.count).await;
            silences = if is_reply(&answer) { 0 } else { silences + 1 };
            answers.push(answer);
        }
        answers
    }

    /// Reads bare registers a few times; gives the table of what looks like a measurement.
    async fn scan(&mut self) -> Option<String> {
        self.tell(format_args!("no profile fits; looking at input and holding registers 0 to {}", SCANNED - 1));
        let mut blocks = Vec::new();
        for function in [Function::Input, Function::Holding] {
            blocks.extend(self.readable(function).await);
        }
        self.work.progress.detail(format!("slave {}: watching {} blocks of registers", self.slave, blocks.len()));
        let mut runs: BTreeMap<(Function, u16), Vec<Vec<u16>>> = BTreeMap::new();
        for sample in 0..REGISTER_SAMPLES {
            if sample > 0 {
                sleep(SAMPLE_EVERY).await;
            }
            for (at, words) in self.sample(&blocks).await {
                runs.entry(at).or_default().push(words);
            }
            self.work.progress.step();
        }
        let values = values(&runs);
        for (function, register, value) in &values {
            let (table, kind, order) = (table::table(*function), table::kind(value.kind), table::order(value.order));
            let order = if value.kind.words() > 1 { format!(" {order}") } else { String::new() };
            self.tell(format_args!("{table} {register} {kind}{order}: {}", table::why(value)));
        }
        let good: Vec<_> = values.iter().filter(|(_, _, value)| value.score >= GOOD).cloned().collect();
        let put = if good.is_empty() { values } else { good };
        if put.is_empty() {
            self.tell("it answers, but holds nothing but zeros there");
            return None;
        }
        let best = put.iter().map(|(_, _, value)| value.score).fold(0.0, f64::max);
        self.tell(format_args!(
            "How sure: {:.0} % at best, from how the values look; compare them with the device's manual.",
            best * 100.0
        ));
        Some(table::of_registers(&format!("device-{}", self.names), &self.line.link, self.slave, &put))
    }

    /// The blocks of a table that can be read: large ones first, and parts of those that are refused.
    async fn readable(&mut self, function: Function) -> Vec<(Function, u16, u16)> {
        let (table, mut silences, mut readable) = (table::table(function), 0, Vec::new());
        self.work.progress.detail(format!("slave {}: which {table} registers it has", self.slave));
        let mut left: Vec<(u16, u16)> = (0..SCANNED / BLOCK).rev().map(|block| (block * BLOCK, BLOCK)).collect();
        while let Some((start, count)) = left.pop() {
            if start % BLOCK == 0 {
                self.work.progress.step();
            }
            let answer = match allowed(&forbidden(&self.work.known), function, start, count) {
                true => self.read(function, start, count).await,
                false => Err(NoData::Exception(2)),
            };
            silences = if is_reply(&answer) { 0 } else { silences + 1 };
            match answer {
                Ok(_) => readable.push((function, start, count)),
                // Illegal function: there is no such table.
                Err(NoData::Exception(1)) => return readable,
                _ if silences == TABLE_SILENCES => return readable,
                Err(_) if count > 1 => {
                    let half = count / 2;
                    left.push((start + half, count - half));
                    left.push((start, half));
                }
                Err(_) => {}
            }
        }
        readable
    }

    /// Reads all blocks once; neighbours are joined to runs. Empty when one of them failed, for then the runs differ.
    async fn sample(&mut self, blocks: &[(Function, u16, u16)]) -> Vec<((Function, u16), Vec<u16>)> {
        let mut runs: Vec<((Function, u16), Vec<u16>)> = Vec::new();
        for (function, start, count) in blocks {
            let Ok(words) = self.read(*function, *start, *count).await else { return Vec::new() };
            match runs.last_mut() {
                Some(((of, first), run))
                    if of == function && usize::from(*first) + run.len() == usize::from(*start) =>
                {
                    run.extend(words);
                }
                _ => runs.push(((*function, *start), words)),
            }
        }
        runs
    }
}

/// The most plausible values of all runs. What stands in both tables alike is taken from the input registers.
fn values(runs: &BTreeMap<(Function, u16), Vec<Vec<u16>>>) -> Vec<(Function, u16, Candidate)> {
    let of_run = |((function, start), samples): (&(Function, u16), &Vec<Vec<u16>>)| {
        let (function, start) = (*function, *start);
        plausible(samples).into_iter().map(move |value| (function, start + value.offset, value))
    };
    let mut values: Vec<(Function, u16, Candidate)> = runs.iter().flat_map(of_run).collect();
    let inputs: Vec<_> = values.iter().filter(|(function, ..)| *function == Function::Input).cloned().collect();
    let mirrored = |at: u16, value: &Candidate| {
        inputs.iter().any(|(_, register, input)| {
            (*register, input.kind, input.order, input.moves) == (at, value.kind, value.order, value.moves)
        })
    };
    values.retain(|(function, at, value)| *function == Function::Input || !mirrored(*at, value));
    values.sort_by(|a, b| b.2.score.total_cmp(&a.2.score));
    values.truncate(MOST_VALUES);
    values
}

/// Whether the slave replied, if only to refuse.
fn is_reply(answer: &Result<Vec<u16>, NoData>) -> bool {
    matches!(answer, Ok(_) | Err(NoData::Exception(_)))
}
