//! `cost`, against sums that were worked out by hand, and the line of `plan`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use serde_json::Value;

use crate::harness::{Home, pipeline, runtime, sdk};
use crate::schema::assert_valid;

/// `cost --json` of a spec in us-east-1.
#[track_caller]
fn cost(home: &Home, spec: &Path, more: &[&str]) -> Value {
    let args = [&["cost", spec.to_str().unwrap(), "--json", "--region", "us-east-1"], more].concat();
    let document = home.run(&args).expect(0).json();
    assert_valid("cost", &document);
    assert_adds_up(&document);
    document
}

/// USD in units of a millionth of a cent, in which sums are exact.
fn exact(usd: &Value) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a bill is far below what fits")]
    let units = (usd.as_f64().unwrap() * 1e8).round() as i64;
    units
}

#[track_caller]
fn assert_adds_up(document: &Value) {
    let items = document["items"].as_array().unwrap();
    let sum = |which: fn(&Value) -> bool| {
        items.iter().filter(|item| which(item)).map(|item| exact(&item["usd"])).sum::<i64>()
    };
    // Each item is rounded for itself.
    let is_near = |one: i64, other: i64| (one - other).abs() <= i64::try_from(items.len()).unwrap();
    assert!(is_near(sum(|_| true), exact(&document["monthly_usd"])), "{document:#}");
    assert!(is_near(sum(|item| item["part"] == "declared"), exact(&document["declared_usd"])), "{document:#}");
    assert!(
        is_near(exact(&document["declared_usd"]) + exact(&document["use_usd"]), exact(&document["monthly_usd"])),
        "{document:#}"
    );
}

#[track_caller]
fn item<'a>(document: &'a Value, node: &str, what: &str) -> &'a Value {
    let items = document["items"].as_array().unwrap();
    let mut found = items.iter().filter(|item| item["node"] == node && item["what"] == what);
    let item = found.next().unwrap_or_else(|| panic!("no {what} of {node}: {document:#}"));
    assert!(found.next().is_none(), "{what} of {node} twice: {document:#}");
    item
}

/// Compares with decimals that are exact to a millionth of a cent.
#[track_caller]
fn assert_items(document: &Value, expected: &[(&str, &str, f64)]) {
    for (node, what, usd) in expected {
        let item = item(document, node, what);
        assert_eq!(exact(&item["usd"]), exact(&Value::from(*usd)), "{item:#}");
    }
}

#[test]
fn retail_at_ten_events_a_second_costs_what_it_does_by_hand() {
    let home = Home::new();
    let document = cost(&home, &pipeline("retail-events.toml"), &["--events-per-second", "10"]);
    let expected = [
        // 1 shard × 730 h × 0.015
        ("stream.events", "shards", 10.95),
        // 10 × 2,628,000 s = 26,280,000 records of one unit × 0.014 / 1,000,000
        ("stream.events", "PUT payload units", 0.367_92),
        // producer and function, 12 an hour × 730 h = 17,520 × 0.03 / 10,000
        ("stream.events", "encryption", 0.052_56),
        // batches of 10 × 5 s = 50: 525,600 × 0.20 / 1,000,000
        ("function.processor", "invocations", 0.105_12),
        // 525,600 × 25 ms = 13,140 s; 26,280,000 × 5 µs × 1,769 / 256 = 907.99453125 s; × 0.25 GB = 3,511.9986328125 GB-s × 0.0000166667
        ("function.processor", "time", 0.058_533_43),
        // each of 0.2 a second: 525,600 × 5.00 / 1,000,000
        ("function.processor", "traces", 2.628),
        // processed, failed and retried, of all pipelines and of this one: 6 × 0.30
        ("function.processor", "recipe metrics", 1.8),
        // polled, invoked, failed, dropped, and delivered on failure: 5 × 0.30
        ("function.processor.source", "EventCount metrics", 1.5),
        // 525,600 × 1,200 bytes = 630,720,000 bytes = 0.5874038 GB × 0.50
        ("function.processor.logs", "logs", 0.293_701_89),
        // 0.5874038 GB a month × 14 days of 30.41667 = 0.2703666 GB × 0.03
        ("function.processor.logs", "stored logs", 0.008_111),
        // 26,280,000 items of one unit × 0.625 / 1,000,000
        ("table.results", "writes", 16.425),
        ("alarm.lag", "alarm", 0.1),
        ("alarm.dead-letters", "alarm", 0.1),
    ];
    assert_items(&document, &expected);
    // A shard and five alarms.
    assert_eq!(exact(&document["declared_usd"]), exact(&Value::from(11.45)));
    // 10.95 + 0.36792 + 0.05256 + 0.10512 + 0.05853343 + 2.628 + 1.8 + 1.5 + 0.29370189 + 0.008111 + 16.425 + 5 × 0.10
    assert!((document["monthly_usd"].as_f64().unwrap() - 34.688_946_31).abs() < 1e-7, "{document:#}");
    // 34.68894631 / 26.28
    assert!((document["per_million_events_usd"].as_f64().unwrap() - 1.319_975_13).abs() < 1e-7, "{document:#}");
    assert_eq!(document["unknown"], serde_json::json!([]));
    assert_eq!(item(&document, "stream.events", "shards")["basis"], "1 shard × 730 h × $0.015");
    assert_eq!(item(&document, "stream.events", "shards")["part"], "declared");
    assert_eq!(item(&document, "table.results", "writes")["part"], "assumed");
    let of_it = &document["of_it"];
    assert_eq!((exact(&of_it["metrics"]), exact(&of_it["event_count"])), (330_000_000, 150_000_000));
    // One shard is 10.95 a month, and on demand begins with 29.20.
    let even = &document["break_even"][0];
    assert_eq!((even["node"].as_str(), even["events_per_second"].as_f64()), (Some("stream.events"), None));
}

#[test]
fn retail_at_a_thousand_events_a_second_fills_its_batches() {
    let home = Home::new();
    let document = cost(&home, &pipeline("retail-events.toml"), &["--events-per-second", "1000"]);
    let expected = [
        // 1,000 × 2,628,000 s = 2,628,000,000 × 0.014 / 1,000,000
        ("stream.events", "PUT payload units", 36.792),
        // batches of 100, ten a second: 26,280,000 × 0.20 / 1,000,000
        ("function.processor", "invocations", 5.256),
        // the first of each second, and a twentieth of nine: 1.45 × 2,628,000 = 3,810,600 × 5.00 / 1,000,000
        ("function.processor", "traces", 19.053),
        // 2,628,000,000 × 0.625 / 1,000,000
        ("table.results", "writes", 1_642.5),
    ];
    assert_items(&document, &expected);
    let advice = document["advice"].as_array().unwrap();
    let table = advice.iter().find(|advice| advice["node"] == "table.results").expect("capacity would save");
    // 1,000 / 0.7 = 1,429 units: 730 × (1,429 × 0.00065 + 1 × 0.00013) = 678.1554; 1,642.50 - 678.1554
    assert_eq!(exact(&table["saves_usd"]), exact(&Value::from(964.344_6)), "{table:#}");
    let saves: Vec<f64> = advice.iter().filter_map(|advice| advice["saves_usd"].as_f64()).collect();
    assert!(saves.is_sorted_by(|more, less| more >= less), "{advice:#?}");
}

#[test]
fn an_on_demand_stream_is_paid_for_by_the_gigabyte() {
    let home = Home::new();
    let spec = home.retail(&[("shards = 1 ", "mode = \"on-demand\" ")]);
    let load = ["--events-per-second", "100", "--record-size", "1.5KB"];
    let document = cost(&home, &spec, &load);
    let expected = [
        // 730 h × 0.04
        ("stream.events", "on-demand stream", 29.2),
        // 262,800,000 records count as 2 KB each: 501.251220703125 GB × 0.08
        ("stream.events", "GB in", 40.100_097_66),
        // one reader gets their 1.5 KB: 375.93841552734375 GB × 0.04
        ("stream.events", "GB out", 15.037_536_62),
    ];
    assert_items(&document, &expected);
    // One shard takes a hundred of them: 84.33763428 are 10.95 + 262.8 × 0.014 = 14.6292 then.
    let advice = document["advice"].as_array().unwrap();
    let stream = advice.iter().find(|advice| advice["node"] == "stream.events").expect("a shard would save");
    assert_eq!(exact(&stream["saves_usd"]), exact(&Value::from(69.708_434_28)), "{stream:#}");

    // Four shards are 43.80; on demand costs less while 29.20 + its GB are below that and the units of PUT.
    let document = cost(&home, &home.retail(&[("shards = 1 ", "shards = 4 ")]), &load);
    // (43.80 - 29.20) / (2 KB × 0.08 + 1.5 KB × 0.04 - 0.000000014) = 14.60 / 0.000000195818 = 74.6 million a month, 28.37 a second
    let even = document["break_even"][0]["events_per_second"].as_f64().unwrap();
    assert!((even - 28.37).abs() < 0.01, "{even}");
    // 84.33763428 - 3.6792 = 80.65843428 are seven shards of 10.95.
    assert_eq!(document["break_even"][0]["most_shards"], 7.0);
}

#[test]
fn a_consumer_of_its_own_is_paid_for_by_the_hour_and_the_gigabyte() {
    let home = Home::new();
    let spec = home.retail(&[
        ("shards = 1 ", "shards = 2 "),
        ("batch_size = 100\n", "batch_size = 100\nconsumer = \"enhanced-fan-out\"\n"),
    ]);
    let document = cost(&home, &spec, &["--events-per-second", "100", "--record-size", "1KB"]);
    let expected = [
        // 2 consumer-shards × 730 h × 0.015
        ("function.processor.consumer", "enhanced fan-out", 21.9),
        // 262,800,000 KB = 250.6256103515625 GB × 0.013
        ("function.processor.consumer", "read by fan-out", 3.258_132_93),
        ("stream.events", "shards", 21.9),
    ];
    assert_items(&document, &expected);
    assert_eq!(exact(&document["of_it"]["fan_out"]), exact(&Value::from(25.158_132_93)));
}

#[test]
fn provisioned_capacity_is_paid_for_whether_it_is_used_or_not() {
    let home = Home::new();
    let spec = home.retail(&[("billing = \"on-demand\" ", "billing = { read = 5, write = 8 } ")]);
    let document = cost(&home, &spec, &["--events-per-second", "10", "--table-size", "20"]);
    let expected = [
        // 8 × 730 h × 0.00065, 5 × 730 h × 0.00013, 20 × 0.25
        ("table.results", "write capacity", 3.796),
        ("table.results", "read capacity", 0.474_5),
        ("table.results", "storage", 5.0),
    ];
    assert_items(&document, &expected);
    let items = document["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["what"] != "writes"), "{document:#}");
    let small = &document["advice"][0];
    assert_eq!((small["node"].as_str(), small["saves_usd"].as_f64()), (Some("table.results"), None), "{small:#}");

    let idle = cost(&home, &spec, &[]);
    // 10.95 + 3.796 + 0.4745 + 5 × 0.10
    assert_eq!(exact(&idle["monthly_usd"]), exact(&Value::from(15.720_5)));
    assert_eq!((&idle["per_million_events_usd"], exact(&idle["use_usd"])), (&Value::Null, 0));
}

#[test]
fn a_daily_profile_counts_each_hour_for_itself() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let factors = |night: &str, day: &str| [[night; 12].join(","), [day; 12].join(",")].join(",");
    let load = |profile: &str| cost(&home, &spec, &["--events-per-second", "10", "--daily-profile", profile]);
    let steady = cost(&home, &spec, &["--events-per-second", "10"]);
    let flat = load(&factors("1", "1"));
    assert!((flat["monthly_usd"].as_f64().unwrap() - steady["monthly_usd"].as_f64().unwrap()).abs() < 1e-6);
    let office = load(&factors("0", "2"));
    let expected = [
        // As many records as with 10 all the time.
        ("stream.events", "PUT payload units", 0.367_92),
        // 20 a second fill a batch in 5 s, for 12 hours a day: 0.2 × 1,314,000 s = 262,800 × 0.20 / 1,000,000
        ("function.processor", "invocations", 0.052_56),
    ];
    assert_items(&office, &expected);
    let spec = spec.to_str().unwrap();
    let wrong = home.run(&["cost", spec, "--events-per-second", "10", "--daily-profile", "1,2"]).expect(2);
    assert!(wrong.stderr.contains("it takes 24 factors"), "{wrong:#?}");
}

#[test]
fn every_pipeline_has_a_bill_that_fits_a_terminal() {
    let home = Home::new();
    for entry in fs::read_dir(pipeline("")).unwrap() {
        let spec = entry.unwrap().path();
        let name = spec.display().to_string();
        let load = ["--events-per-second", "50"];
        let document = cost(&home, &spec, &load);
        assert!(document["monthly_usd"].as_f64().unwrap() > document["declared_usd"].as_f64().unwrap(), "{name}");
        let unknown = document["unknown"].as_array().unwrap();
        assert!(unknown.iter().all(|unknown| unknown["region"] != "us-east-1"), "{name}: {unknown:#?}");
        let text = home.run(&[&["cost", spec.to_str().unwrap(), "--region", "us-east-1"], load.as_slice()].concat());
        let text = text.expect(0).stdout;
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        assert!(text.contains("together") && text.contains("declared capacity"), "{text}");
    }
    assert!(!home.path().join("state/local.json").exists(), "nobody was asked");
}

#[test]
fn a_price_that_is_not_known_is_said_and_never_guessed() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let spec = spec.to_str().unwrap();
    let args = ["cost", spec, "--events-per-second", "10", "--region", "eu-south-2"];
    let document = home.run(&[args.as_slice(), &["--json"]].concat()).expect(0).json();
    assert_valid("cost", &document);
    assert_eq!((&document["items"], exact(&document["monthly_usd"])), (&serde_json::json!([]), 0));
    let unknown = document["unknown"].as_array().unwrap();
    assert!(unknown.iter().any(|one| one["node"] == "stream.events" && one["what"] == "shard-hour"), "{unknown:#?}");
    let text = home.run(&args).expect(0).stdout;
    assert!(text.contains("no price known for shard-hour in eu-south-2") && text.contains("incomplete"), "{text}");
}

/// Serves the files of a price list, each made of one line of prices per usage type, until the test ends.
fn serve(region_code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines.next().unwrap().unwrap().split(' ').nth(1).unwrap().to_owned();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let answer = match offer(&path, region_code) {
                Some(body) => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                }
                None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

/// A file in AWS's format, with twice the prices of us-east-1, and what else such a file has.
fn offer(path: &str, region_code: &str) -> Option<String> {
    let offer = path.strip_prefix("/offers/v1.0/aws/")?.strip_suffix("/current/eu-south-2/index.csv")?;
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("prices/aws.toml")).unwrap();
    let table: toml::Table = table.parse().unwrap();
    let mut rows = String::new();
    let mut row = |start: &str, price: &str, usage: &str| {
        let line = format!(
            "\"SKU\",\"JRTCKXETXF\",\"SKU.JRTCKXETXF.6YS6EN2CT7\",\"OnDemand\",\"a price, as AWS \"\"describes\"\" it\",\"2026-11-01\",\"{start}\",\"Inf\",\"unit\",\"{price}\",\"USD\",\"family\",\"{offer}\",\"Europe (Spain)\",\"AWS Region\",\"{usage}\",\"operation\",\"eu-south-2\",\"name\"\n"
        );
        rows.push_str(&line);
    };
    for entry in table["price"]
        .as_table()?
        .values()
        .filter(|entry| entry.get("offer").and_then(toml::Value::as_str) == Some(offer))
    {
        let usage = entry["usage"].as_array()?.last()?.as_str()?;
        let usd: f64 = entry["usd"]["us-east-1"].as_str()?.parse().unwrap();
        let per: f64 = f64::from(u32::try_from(entry["per"].as_integer()?).unwrap());
        row("1000", &format!("{:.12}", usd * 2.0 / per), &format!("{region_code}-{usage}"));
        row("0", "0.0000000000", &format!("{region_code}-{usage}"));
        row("0", "7.0000000000", &format!("{region_code}-{usage}-Other"));
    }
    Some(format!(
        "\"FormatVersion\",\"v1.0\"\n\"Disclaimer\",\"This list, and so on\"\n\"Publication Date\",\"2026-11-20T10:00:00Z\"\n\"Version\",\"20261120100000\"\n\"OfferCode\",\"{offer}\"\n\"SKU\",\"OfferTermCode\",\"RateCode\",\"TermType\",\"PriceDescription\",\"EffectiveDate\",\"StartingRange\",\"EndingRange\",\"Unit\",\"PricePerUnit\",\"Currency\",\"Product Family\",\"serviceCode\",\"Location\",\"Location Type\",\"usageType\",\"operation\",\"Region Code\",\"serviceName\"\n{rows}"
    ))
}

#[test]
fn prices_are_read_from_the_public_list_and_used_from_then_on() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let spec = spec.to_str().unwrap();
    let list = serve("EUS2");
    let update = ["cost", spec, "--update", "--region", "eu-south-2", "--json", "--price-list", &list];
    let updated = home.run(&update).expect(0).json();
    assert_valid("cost-update", &updated);
    assert_eq!(
        (updated[0]["region"].as_str(), updated[0]["usd"]["kinesis-put-unit"].as_str()),
        (Some("eu-south-2"), Some("0.028"))
    );
    assert_eq!(updated[0]["published"], "2026-11-20T10:00:00Z");
    let args = ["cost", spec, "--events-per-second", "10", "--region", "eu-south-2", "--json"];
    let document = home.run(&args).expect(0).json();
    assert_eq!(document["unknown"], serde_json::json!([]));
    // Twice those of us-east-1.
    let expected = [("stream.events", "shards", 21.9), ("table.results", "writes", 32.85), ("alarm.lag", "alarm", 0.2)];
    assert_items(&document, &expected);
    assert_eq!(document["prices_of"], updated[0]["date"]);

    // What is not there leaves the prices as they were.
    let missing = home.run(&["cost", spec, "--update", "--region", "eu-north-1", "--price-list", &list]).expect(1);
    assert!(missing.stderr.contains("HTTP 404") && missing.stderr.contains("--price-list"), "{missing:#?}");
    assert_eq!(home.run(&args).expect(0).json(), document);
}

#[test]
fn what_cloudwatch_has_counted_takes_the_place_of_assumptions() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    let nothing = home.local_output("cost", &spec, &["--measured"]).expect(1);
    assert!(nothing.stderr.contains("counted nothing") && nothing.stderr.contains("--since"), "{nothing:#?}");
    assert_eq!(home.local("validate", &spec, &[])["ok"], true);
    let document = home.local("cost", &spec, &["--measured", "--since", "1h"]);
    assert_valid("cost", &document);
    assert_adds_up(&document);
    // An hour's count, 730 times.
    let count = |namespace: &str, metric: &str, dimension: (&str, &str)| {
        let now = SystemTime::now();
        let call = aws_sdk_cloudwatch::Client::new(&sdk(&home.endpoint())).get_metric_statistics();
        let call = call.namespace(namespace).metric_name(metric).period(3_600).statistics(Statistic::Sum);
        let call = call.dimensions(Dimension::builder().name(dimension.0).value(dimension.1).build());
        let call =
            call.start_time((now - Duration::from_secs(7_200)).into()).end_time((now + Duration::from_secs(60)).into());
        let points = runtime().block_on(call.send()).unwrap().datapoints.unwrap_or_default();
        points.iter().filter_map(|point| point.sum).sum::<f64>()
    };
    let invocations = count("AWS/Lambda", "Invocations", ("FunctionName", "retail-events-processor"));
    let records = count("AWS/Kinesis", "IncomingRecords", ("StreamName", "retail-events-events"));
    assert!(invocations >= 1.0 && records >= invocations, "{invocations} {records}");
    let assert_counted = |node: &str, what: &str, usd: f64| {
        let item = item(&document, node, what);
        assert_eq!(item["part"], "measured", "{item:#}");
        assert!((item["usd"].as_f64().unwrap() - usd).abs() < 1e-7, "{usd}: {item:#}");
    };
    assert_counted("function.processor", "invocations", invocations * 730.0 * 0.20 / 1e6);
    assert_counted("stream.events", "PUT payload units", records * 730.0 * 0.014 / 1e6);
    assert_eq!(item(&document, "function.processor", "time")["part"], "measured");
    assert_eq!(item(&document, "stream.events", "shards")["part"], "declared");
}

#[test]
fn a_plan_ends_with_what_it_costs_at_rest() {
    let home = Home::new();
    home.endpoint();
    let spec = home.retail(&[]);
    let plan = |spec: &Path| home.run(&["plan", spec.to_str().unwrap(), "--local"]).expect(0).stdout;
    // A shard, 10.95, and five alarms of 0.10.
    assert!(plan(&spec).ends_with("\ncost: +$11.45 a month at rest, before traffic\n"), "{}", plan(&spec));
    home.local("up", &spec, &["--yes"]);
    assert!(plan(&spec).ends_with("\ncost: $11.45 a month at rest, before traffic, as now\n"), "{}", plan(&spec));
    let changed = home.retail(&[("shards = 1 ", "shards = 3 ")]);
    assert!(plan(&changed).ends_with("\ncost: +$21.90 a month at rest, before traffic\n"), "{}", plan(&changed));
    let document = home.local("plan", &changed, &[]);
    assert_valid("plan", &document);
    let cost = &document["cost"];
    assert_eq!((exact(&cost["monthly_usd_before"]), exact(&cost["monthly_usd_after"])), (1_145_000_000, 3_335_000_000));
    // One alarm goes, another comes.
    let renamed = home.retail(&[("[alarm.lag]", "[alarm.late]")]);
    assert!(plan(&renamed).ends_with("\ncost: $11.45 a month at rest, before traffic, as now\n"), "{}", plan(&renamed));
}
