//! The same binary against `moto_server`, which is not ours. Ignored by default: it needs `moto[server]` from PyPI.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Home, Output};

struct Moto {
    process: Child,
    endpoint: String,
}

impl Moto {
    fn start() -> Self {
        // Port 0: the server takes a free one by itself and says on stderr which.
        let mut process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server, from `pip install 'moto[server]'`");
        let said = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let (found, endpoint) = std::sync::mpsc::channel();
        // Read to its end, or the server would wait for somebody to read its access log.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some(address) = line.split("Running on ").nth(1) {
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let endpoint = endpoint.recv_timeout(Duration::from_secs(60)).expect("moto says where it listens");
        Self { process, endpoint }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs moto_server"]
fn moto_takes_plan_up_status_and_down() {
    let (home, moto) = (Home::new(), Moto::start());
    let run = |args: &[&str]| -> Output {
        let mut all = args.to_vec();
        all.extend(["--json", "--endpoint-url", &moto.endpoint, "--region", "us-east-1"]);
        home.run_with(&all, &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
    };
    let with_alarms = home.retail(&[]);
    let refused = run(&["plan", with_alarms.to_str().unwrap()]).expect(1);
    assert!(refused.stderr.contains("take the alarms out of the spec there"), "{refused:#?}");

    let text = std::fs::read_to_string(&with_alarms).unwrap();
    let spec = home.write("plain.toml", text.split("[alarm.").next().unwrap());
    let spec = spec.to_str().unwrap();
    let plan = run(&["plan", spec, "--exit-code"]).expect(3).json();
    let up = run(&["up", spec, "--yes"]).expect(0).json();
    assert_eq!(up["summary"]["create"], plan["summary"]["create"]);
    let again = run(&["up", spec, "--yes"]).expect(0).json();
    assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "{again:#}");
    let status = run(&["status", spec]).expect(0).json();
    assert!(status["resources"].as_array().unwrap().iter().all(|node| node["state"] == "ok"), "{status:#}");
    let down = run(&["down", spec, "--yes"]).expect(0).json();
    assert_eq!(down["summary"]["delete"], up["summary"]["create"], "{down:#}");
    assert_eq!(run(&["down", "--name", "retail-events", "--yes"]).expect(0).json()["resources"], json!([]));
}
