//! The same binary against `moto_server`, which is not ours. Ignored by default: it needs `moto[server]` from PyPI.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Home, Output, until};

struct Moto {
    process: Child,
    endpoint: String,
}

impl Moto {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server, from `pip install 'moto[server]'`");
        until("moto", Duration::from_secs(60), || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { process, endpoint: format!("http://127.0.0.1:{port}") }
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
