//! Whole files through `replay`: what goes in, what comes out, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use windward_agent::config::Config;
use windward_agent::io::replay::{Options, file, six_digits, tree};
use windward_protocol::Iso8601;

const START_MS: i64 = 1_795_182_840_000;

const TWO_MASTS: &str = r#"
agent = "t7"
farm = "north"
data = "/tmp/unused"
[mqtt]
host = "localhost"
[[device]]
name = "mast"
location = "north mast"
modbus_tcp = { host = "10.0.0.7" }
slave = 1
interval_ms = 1000
channel = [
    { name = "speed", quantity = "wind-speed", unit = "m/s", register = 0, type = "u16", scale = 0.1, range = [0, 75] },
    { name = "temperature", quantity = "temperature", unit = "°C", register = 1, type = "i16", scale = 0.1, interval_ms = 10000 },
]
[[device]]
name = "nacelle"
modbus_tcp = { host = "10.0.0.8" }
slave = 1
interval_ms = 1000
channel = [{ name = "speed", quantity = "wind-speed", unit = "m/s", register = 0, type = "u16", scale = 0.1 }]
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Names of all files below a folder of it, in order.
    fn files(&self, below: &str) -> Vec<String> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, files) } else { files.push(path) }
            }
        }
        let (root, mut files) = (self.path(below), Vec::new());
        walk(&root, &mut files);
        files.sort();
        files.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
    }
}

/// The rows of an output, header and all, and what was printed; or the error as the program would show it.
fn replayed(input: &str, options: &Options) -> Result<(Vec<String>, String), String> {
    let folder = Folder::new();
    let (input, output) = (folder.put("mast.csv", input), folder.path("out.csv"));
    let mut printed = Vec::new();
    let done = file(&input, &output, None, options, &mut printed);
    let left: usize = if done.is_ok() { 2 } else { 1 };
    assert_eq!(folder.files("").len(), left, "nothing but whole files: {:?}", folder.files(""));
    done.map_err(|error| format!("{error:#}").replace(&format!("{}/", folder.0.path().display()), ""))?;
    let rows = fs::read_to_string(&output).unwrap().lines().map(str::to_owned).collect();
    Ok((rows, String::from_utf8(printed).unwrap()))
}

/// A signal that swings a little, and jumps at row 1,500.
fn swing(rows: i64, label: bool) -> String {
    let mut text = String::from(if label { "timestamp,value,label\n" } else { "timestamp,value\n" });
    for n in 0..rows {
        let jump = if n == 1_500 { 60.0 } else { 0.0 };
        let value = 8.0 + (n as f64 * 0.7).sin() + (n * 7_919 % 13) as f64 * 0.05 + jump;
        text += &format!("{},{value:.2}", Iso8601(START_MS + n * 1_000));
        text += if label { ",1\n" } else { "\n" };
    }
    text
}

fn with_config(device: Option<&str>) -> Options {
    let config = Config::from_toml(TWO_MASTS, "agent.toml").unwrap();
    Options { config: Some(config), device: device.map(str::to_owned), ..Options::default() }
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_windward-agent")).arg("replay").args(arguments).output().unwrap()
}

#[test]
fn each_row_has_its_time_as_it_was_written_a_score_and_whether_an_alert_opened() {
    let (rows, printed) = replayed(&swing(2_000, false), &Options::default()).unwrap();
    assert_eq!(rows.len(), 2_001);
    assert_eq!(rows[0], "timestamp,score,alert");
    assert_eq!(rows[1], "2026-11-20T13:54:00.000Z,0,0");
    assert!(rows[1_501].starts_with("2026-11-20T14:19:00.000Z,") && rows[1_501].ends_with(",1"), "{}", rows[1_501]);
    assert!(printed.starts_with("2000 rows, one every 1 s, 0.001 months, 2026-11-20T13:54:00.000Z to "), "{printed}");
    let listed = printed.lines().filter(|line| line.starts_with("2026-11-20T14:19:00.000Z  value "));
    assert_eq!(listed.count(), 1, "{printed}");
}

#[test]
fn a_label_changes_nothing() {
    let unlabelled = replayed(&swing(2_000, false), &Options::default()).unwrap();
    assert_eq!(replayed(&swing(2_000, true), &Options::default()).unwrap(), unlabelled);
}

#[test]
fn quotes_byte_order_marks_and_ends_of_lines_are_no_matter() {
    for input in [
        "timestamp,value\n2026-11-20 13:54:00,1\n2026-11-20 13:54:01,2\n",
        "\u{feff}timestamp,value\r\n2026-11-20 13:54:00,1\r\n2026-11-20 13:54:01,2",
        "\"timestamp\",\"value\"\n\"2026-11-20 13:54:00\",1\n\n\"2026-11-20 13:54:01\",\"2\"\n",
    ] {
        let (rows, _) = replayed(input, &Options::default()).unwrap();
        assert_eq!(rows, ["timestamp,score,alert", "2026-11-20 13:54:00,0,0", "2026-11-20 13:54:01,0,0"], "{input:?}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_line_and_leaves_no_output() {
    for (input, expected) in [
        ("", "mast.csv: the file is empty; its first line names the columns, as in `timestamp,value`"),
        (
            "time;value\n",
            "mast.csv: no column `timestamp` in the header \"time;value\"; columns are separated by commas",
        ),
        ("timestamp,label\n", "mast.csv: no column of values beside `timestamp` in the header \"timestamp,label\""),
        ("timestamp,value\n0,1\nsoon,1\n", "mast.csv: line 3: \"soon\" is no time; 2026-11-20T13:54:00Z would be"),
        ("timestamp,a,b\n0,1,2\n1,1,2\n2,1,calm\n", "mast.csv: line 4: \"calm\" in column \"b\" is no number"),
        ("timestamp,value\n0,1\n1\n", "mast.csv: line 3: 1 cells where the header has 2"),
        ("timestamp,value\n0,1\n1,2,3\n", "mast.csv: line 3: 3 cells where the header has 2"),
    ] {
        assert_eq!(replayed(input, &Options::default()).unwrap_err(), expected, "{input:?}");
    }
}

#[test]
fn readings_that_failed_and_times_that_go_back_are_counted_and_keep_their_rows() {
    let input = "timestamp,value\n5,1\n6,\n6,nan\n4,1\n7,1\n";
    let (rows, printed) = replayed(input, &Options::default()).unwrap();
    assert_eq!(rows.len(), 6);
    assert_eq!(&rows[4], "4,0,0");
    for line in
        ["2 readings without a value", "1 rows earlier than the row before", "1 rows at the time of the row before"]
    {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn a_configuration_says_which_device_the_columns_are() {
    for (columns, device, expected) in [
        ("speed,temperature", None, Ok(())),
        ("temperature,speed", None, Ok(())),
        ("temperature", None, Ok(())),
        // The file is called as the one that fits less well.
        ("speed", None, Ok(())),
        ("speed", Some("nacelle"), Ok(())),
        ("speed,power", None, Err("no device of the configuration has the channels speed, power")),
        ("speed,power", Some("mast"), Err("device \"mast\" has no channel \"power\"; it has speed, temperature")),
        ("speed", Some("mats"), Err("the configuration has no device \"mats\"; it has mast, nacelle")),
    ] {
        let cells = columns.split(',').map(|_| "1").collect::<Vec<_>>().join(",");
        let input = format!("timestamp,{columns}\n0,{cells}\n1,{cells}\n");
        let done = replayed(&input, &with_config(device)).map(|_| ());
        assert_eq!(done, expected.map_err(|text| format!("mast.csv: {text}")), "{columns} {device:?}");
    }
}

#[test]
fn rules_of_the_configuration_say_what_they_would_have_said() {
    let rule = "[[rule]]\nname = \"storm\"\nchannel = \"speed\"\nwindow_s = 60\nabove = 25\nseverity = \"critical\"\n";
    let config = Config::from_toml(&format!("{TWO_MASTS}{rule}"), "agent.toml").unwrap();
    let options = Options { config: Some(config), device: Some("nacelle".into()), ..Options::default() };
    let blow = |n: i64| 8.0 + (n as f64 * 0.7).sin() + if (300..420).contains(&n) { 20.0 } else { 0.0 };
    let rows: String = (0..900).map(|n| format!("{},{:.1}\n", Iso8601(START_MS + n * 1_000), blow(n))).collect();
    let (rows, printed) = replayed(&format!("timestamp,speed\n{rows}"), &options).unwrap();
    // 13:54 is a full minute; the sixth ends with the row of 14:00.
    assert!(rows[1 + 360].ends_with(",1"), "{}", rows[361]);
    let line = printed.lines().find(|line| line.contains("  limit  ")).unwrap_or_else(|| panic!("{printed}"));
    assert!(line.starts_with("2026-11-20T14:00:00.000Z  speed        limit      critical"), "{line}");
    assert!(line.contains(" 120 s") || line.contains(" 2 min"), "{line}");
    assert!(line.contains("storm: mean of 60 s 28."), "{line}");
}

#[test]
fn among_several_devices_the_one_with_these_channels_alone_is_taken_or_the_user_is_asked() {
    let folder = Folder::new();
    let (input, output) = (folder.put("march.csv", "timestamp,speed\n0,1\n1,1\n"), folder.path("out.csv"));
    file(&input, &output, None, &with_config(None), &mut Vec::new()).unwrap();
    let alike = TWO_MASTS
        .replace("\"temperature\", quantity", "\"gust\", quantity")
        .replace("channel = [{", "channel = [{ name = \"gust\", unit = \"m/s\", register = 9, type = \"u16\" }, {");
    let options = Options { config: Some(Config::from_toml(&alike, "agent.toml").unwrap()), ..Options::default() };
    let error = file(&input, &output, None, &options, &mut Vec::new()).unwrap_err();
    let expected = "the columns fit the devices mast, nacelle; say which with --device";
    assert!(format!("{error:#}").ends_with(expected), "{error:#}");
}

#[test]
fn a_configuration_gives_the_valid_range_and_the_channels_that_are_read_less_often() {
    // The temperature is read every tenth time, so that it is not missing; 80 m/s is no wind.
    let input = "timestamp,temperature,speed\n0,5.0,7\n1,,7\n2,,80\n3,,\n";
    let (_, printed) = replayed(input, &with_config(None)).unwrap();
    assert!(printed.contains("\n2 readings without a value\n"), "{printed}");
}

#[test]
fn a_folder_is_replayed_file_by_file_to_the_same_paths_and_one_that_fails_stops_none() {
    let folder = Folder::new();
    folder.put("in/a.csv", &swing(300, false));
    folder.put("in/deep/er/b.CSV", &swing(200, true));
    folder.put("in/deep/broken.csv", "timestamp,value\nnever,1\n");
    folder.put("in/notes.txt", "no table");
    let (input, output) = (folder.path("in"), folder.path("out"));
    for quiet in [false, true] {
        let (mut printed, options) = (Vec::new(), Options { quiet, ..Options::default() });
        assert!(!tree(&input, &output, &options, &mut printed).unwrap());
        assert_eq!(folder.files("out"), ["a.csv", "deep/er/b.CSV"]);
        assert_eq!(fs::read_to_string(folder.path("out/a.csv")).unwrap().lines().count(), 301);
        let printed = String::from_utf8(printed).unwrap();
        let total =
            "passed over: 1 files that are no *.csv\nfailed: 1 files\nreplayed: 2 files, 500 rows, 0.000 months\n";
        assert!(printed.contains(total), "{printed}");
        assert_eq!(printed.contains("a.csv: 300 rows"), !quiet, "{printed}");
    }
    fs::remove_file(folder.path("in/deep/broken.csv")).unwrap();
    assert!(tree(&input, &output, &Options::default(), &mut Vec::new()).unwrap());
}

#[test]
fn a_folder_in_which_the_output_would_be_input_is_refused() {
    let folder = Folder::new();
    folder.put("in/a.csv", &swing(10, false));
    folder.put("in/deep/a.csv", &swing(10, false));
    for (input, output) in [("in", "in"), ("in", "in/out"), ("in/deep", "in"), ("in", "in/deep/../new")] {
        let done = tree(&folder.path(input), &folder.path(output), &Options::default(), &mut Vec::new());
        assert!(done.unwrap_err().to_string().contains("lie within each other"));
    }
    assert_eq!(folder.files("in"), ["a.csv", "deep/a.csv"]);
    fs::create_dir(folder.path("empty")).unwrap();
    let done = tree(&folder.path("empty"), &folder.path("out"), &Options::default(), &mut Vec::new());
    assert!(done.unwrap_err().to_string().starts_with("no *.csv below "));
}

#[test]
fn nothing_is_written_over_what_is_read_or_is_no_plain_file() {
    let folder = Folder::new();
    let input = folder.put("in.csv", &swing(10, false));
    let before = fs::read(&input).unwrap();
    std::os::unix::fs::symlink(&input, folder.path("link.csv")).unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    let (link, out, svg) = (folder.path("link.csv"), folder.path("out.csv"), folder.path("out.svg"));
    let missing = folder.path("missing/out.csv");
    for (output, plot, expected) in [
        (&input, None, "is also the output"),
        (&link, None, "is also the output"),
        (&out, Some(&link), "is also the output"),
        (&out, Some(&out), "--out and --plot are the same file"),
        (&folder.path("folder"), None, "something else than a plain file"),
        (&PathBuf::from("/dev/null"), None, "something else than a plain file"),
        (&missing, None, "cannot write"),
        (&out, Some(&missing), "cannot write"),
    ] {
        let done = file(&input, output, plot.map(PathBuf::as_path), &Options::default(), &mut Vec::new());
        let error = format!("{:#}", done.unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert_eq!(folder.files(""), ["in.csv", "link.csv"]);
    }
    let done = file(&folder.path("nowhere.csv"), &out, None, &Options::default(), &mut Vec::new());
    assert!(format!("{:#}", done.unwrap_err()).contains("nowhere.csv"));
    assert_eq!(fs::read(&input).unwrap(), before);
    file(&input, &out, Some(&svg), &Options::default(), &mut Vec::new()).unwrap();
    file(&input, &out, Some(&svg), &Options::default(), &mut Vec::new()).unwrap();
    assert_eq!(folder.files(""), ["in.csv", "link.csv", "out.csv", "out.svg"]);
}

#[test]
fn the_program_says_what_it_needs_and_its_status_says_whether_it_went_well() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).display().to_string();
    folder.put("in/a.csv", &swing(300, false));
    folder.put("agent.toml", TWO_MASTS);
    let (table, input, out, config) = (path("in/a.csv"), path("in"), path("out"), path("agent.toml"));
    let csv = path("out.csv");
    for (arguments, well, expected) in [
        (vec![table.as_str(), "--out", &csv], true, ""),
        (vec!["--dir", &input, "--out", &out, "--quiet"], true, ""),
        (
            vec![&table, "--out", &csv, "--config", &config],
            false,
            "no device of the configuration has the channels value",
        ),
        (vec!["--out", &csv], false, "required"),
        (vec![&table], false, "--out"),
        (vec![&table, "--dir", &input, "--out", &out], false, "cannot be used with"),
        (vec![&table, "--out", &csv, "--device", "mast"], false, "--config"),
        (vec!["nowhere.csv", "--out", &csv], false, "cannot read nowhere.csv"),
    ] {
        let done = program(&arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.success(), well, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(well, said.is_empty(), "no bar where there is no terminal: {said}");
    }
}

#[test]
fn a_score_has_six_digits() {
    for (score, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (0.629_849_4, "0.629849"),
        (2.5, "2.5"),
        (12.345_678, "12.3457"),
        (0.001_234_567_8, "0.00123457"),
        (1_234_567.0, "1234567"),
        (f32::NAN, "0"),
        (9.999_999_9, "10"),
    ] {
        assert_eq!(six_digits(score), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn as_many_rows_come_out_as_went_in(
        rows in prop::collection::vec((any::<i32>(), prop::option::of(any::<f64>()), -50f64..50.0), 0..400)
    ) {
        let mut input = String::from("timestamp,a,b\n");
        for (seconds, a, b) in &rows {
            let a = a.map(|a| a.to_string()).unwrap_or_default();
            input += &format!("{},{a},{b}\n", seconds.unsigned_abs());
        }
        let (output, _) = replayed(&input, &Options::default()).unwrap();
        prop_assert_eq!(output.len(), rows.len() + 1);
        for (line, (seconds, ..)) in output[1..].iter().zip(&rows) {
            let cells: Vec<&str> = line.split(',').collect();
            prop_assert_eq!(cells[0], seconds.unsigned_abs().to_string());
            prop_assert!(cells[1].parse::<f64>().unwrap() >= 0.0);
            prop_assert!(["0", "1"].contains(&cells[2]));
        }
    }
}
