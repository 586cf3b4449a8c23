//! A node whose root lies, as the protocol goes: what it may cost, and how the controller ends with it.
//!
//! Each lie ends by name and within the deadline, and the node is unknown by then, never absent.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pki::observe::ask::{Question, observe_all};
use pki::protocol::facts::{Answer, Expect, ObserveRequest};
use pki::protocol::node::{Inspect, NodeError};
use pki::remote::session::{Deadlines, Remote, Session};

use super::far::{OnAnswer, Served, Then, framed, now};
use crate::support::made::Made;

const HELLO: &str = r#"{"protocol":{"major":1,"minor":0},"version":"x","os":"linux","arch":"x86_64","pid":1,"hostname":"h","uid":0,"readOnly":true}"#;
const HEAD: &str = r#"{"done":{"clock":"2026-11-30T00:00:00Z","servedBy":{"uid":0,"gid":0},"#;
/// A file that is there, up to its content.
const FILE: &str = r#"{"present":{"kind":"regular","resolved":"/a","mode":"0644","uid":0,"gid":0,"size":1,"modified":"2026-11-30T00:00:00Z","device":1,"inode":1,"content":"#;
const MEBIBYTE: usize = 1024 * 1024;

fn patient(seconds: u64) -> Session {
    let wait = Duration::from_secs(seconds);
    let deadlines = Deadlines { hello: wait, observe: wait, lock: wait, perform: wait, undo: wait };
    Session { deadlines, ..Session::default() }
}

/// What is asked: one path of each kind.
fn question() -> ObserveRequest {
    let kinds = [
        ("/a", Expect::Certificates),
        ("/d", Expect::Directory),
        ("/l", Expect::Link),
        ("/c", Expect::Pair),
        ("/e", Expect::Certificates),
    ];
    ObserveRequest {
        files: kinds.map(|(path, expect)| (path.to_owned(), expect)).into(),
        ..ObserveRequest::default()
    }
}

/// What a node does once it is asked.
#[derive(Clone)]
enum Lie {
    /// Says this.
    Says(Arc<Vec<u8>>),
    /// Announces so many bytes and sends none.
    Announces(u32),
    /// Sends a byte now and then.
    Drips,
    /// Nothing.
    IsSilent,
}

/// What is said next.
fn message(from: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    from.read_exact(&mut message)?;
    Ok(message)
}

/// A node that says who it is and then lies.
fn node(lie: Lie, session: &Session) -> Remote {
    let (near, mut far) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut heard = far.write_all(&framed(HELLO.as_bytes())).and_then(|()| message(&mut far));
        // A greeting comes first, and signs of life may come between.
        while heard.as_ref().is_ok_and(|heard| !asks(heard)) {
            heard = message(&mut far);
        }
        if heard.is_err() {
            return;
        }
        // The controller may hang up at any time.
        let _heard = match lie {
            Lie::Says(answer) => {
                let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
                far.write_all(&length).and_then(|()| far.write_all(&answer))
            }
            Lie::Announces(length) => far.write_all(&length.to_be_bytes()),
            Lie::Drips => far.write_all(&1000u32.to_be_bytes()).and_then(|()| {
                loop {
                    std::thread::sleep(Duration::from_millis(50));
                    far.write_all(b" ")?;
                }
            }),
            Lie::IsSilent => Ok(()),
        };
        // It does not hang up either.
        let _ended = far.read_to_end(&mut Vec::new());
    });
    Remote::connect(near.try_clone().unwrap(), near, Box::new(()), session).unwrap()
}

fn says(text: String) -> Lie {
    Lie::Says(Arc::new(text.into_bytes()))
}

/// A text of about four megabytes: `head`, `part` as often as it fits, separated by commas, and `tail`.
fn filled(head: &str, part: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = head.to_owned();
    let mut number = 0;
    while text.len() < 4 * MEBIBYTE - 64 * 1024 {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&part(number));
        number += 1;
    }
    text + tail
}

/// Every size that a node can lie about, with the end that each has.
fn sizes() -> Vec<(&'static str, Lie, &'static str)> {
    let unasked = "it answered what was not asked";
    let many_paths =
        filled(&format!("{HEAD}\"files\":{{"), |number| format!("\"/{number}\":\"absent\""), "}}}");
    let many_named =
        filled(&format!("{HEAD}\"files\":{{}},\"namedBy\":{{"), |number| format!("\"/{number}\":[]"), "}}}");
    let many_names = filled(
        &format!("{HEAD}\"files\":{{\"/d\":{FILE}{{\"directory\":{{\"complete\":true,\"entries\":["),
        |number| format!("\"{number}\""),
        "]}}}}}}}",
    );
    let many_others = filled(
        &format!("{HEAD}\"files\":{{\"/a\":{FILE}{{\"pem\":{{\"others\":["),
        |_| "\"\"".to_owned(),
        "]}}}}}}}",
    );
    let many_consumers = filled(
        &format!("{HEAD}\"files\":{{}},\"consumers\":["),
        |_| "{\"port\":1,\"probe\":\"refused\",\"process\":\"absent\"}".to_owned(),
        "]}}",
    );
    let many_services = filled(
        &format!("{HEAD}\"files\":{{}},\"services\":{{"),
        |number| format!("\"s{number}\":{{}}"),
        "}}}",
    );
    let nested = format!("{HEAD}\"files\":{{\"/a\":{}", "[".repeat(MEBIBYTE));
    vec![
        ("many paths", says(many_paths), unasked),
        ("many named paths", says(many_named), unasked),
        ("many names in a directory", says(many_names), unasked),
        ("many labels", says(many_others), ""),
        ("many consumers", says(many_consumers), unasked),
        ("many services", says(many_services), unasked),
        ("deep nesting", says(nested), "not what was asked for"),
        ("too long", Lie::Announces(53_000_000), "larger than"),
        ("announced and not sent", Lie::Announces(3_000_000), "no answer came within"),
        ("drip", Lie::Drips, "no answer came within"),
        ("silence", Lie::IsSilent, "no answer came within"),
    ]
}

/// The most memory that this process has ever had, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn no_answer_costs_much_memory_or_more_than_its_time() {
    for nodes in ["1", "50"] {
        let (_, module) = module_path!().split_once("::").unwrap();
        let name = format!("{module}::sizes_in_a_process_of_their_own");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", &name, "--nocapture"])
            .env("PKI_TEST_NODES", nodes)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && said.contains("1 passed"), "{nodes}: {said}");
    }
}

#[test]
#[ignore = "measured by the test above, which runs it in a process of its own"]
fn sizes_in_a_process_of_their_own() {
    let nodes: usize = std::env::var("PKI_TEST_NODES").map_or(1, |nodes| nodes.parse().unwrap());
    let (long, most) = if nodes == 1 { (10, 200) } else { (30, 600) };
    for (what, lie, end) in sizes() {
        // Reading much takes its time. What never comes is as late after less.
        let seconds = if matches!(lie, Lie::Says(_)) { long } else { 5 };
        let mut session = patient(long);
        session.deadlines.observe = Duration::from_secs(seconds);
        let remotes: Vec<Remote> = (0..nodes).map(|_| node(lie.clone(), &session)).collect();
        let questions: BTreeMap<_, Question<'_>> = remotes
            .iter()
            .enumerate()
            .map(|(number, remote)| {
                let question: Question<'_> = (remote as &(dyn Inspect + Sync), question());
                (format!("n-{number}").parse().unwrap(), question)
            })
            .collect();
        let begun = Instant::now();
        let observed = observe_all(&questions, now(), Duration::from_secs(seconds));
        // Thirty-two are asked at once, so fifty take their time twice.
        let longest = Duration::from_secs(seconds) * if nodes == 1 { 1 } else { 2 } + Duration::from_secs(5);
        assert!(begun.elapsed() < longest, "{what}: {:?}", begun.elapsed());
        for answer in observed.nodes.values() {
            match answer {
                Answer::Facts(_) => assert_eq!(end, "", "{what}"),
                Answer::Unreachable { reason } => {
                    // Of many long answers only so many fit, and under load reading may take too long.
                    let is_known = reason.contains(end)
                        || nodes > 1 && (reason.contains("together") || reason.contains("within"));
                    assert!(is_known, "{what}: {reason}");
                }
                Answer::Skipped => panic!("every node was asked"),
            }
        }
        // For whoever wants to know the figures.
        writeln!(std::io::stdout(), "{what}: peak {} MiB, {:?}", peak(), begun.elapsed()).unwrap();
        assert!(peak() < most, "{what}: {} MiB", peak());
    }
}

/// Asks a real node whose answers are changed for a file.
fn asked(lie: impl FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send + 'static) -> Result<(), String> {
    let made = Made::new();
    let on_answer: OnAnswer = Box::new(lie);
    let (_served, remote) =
        Served::lying(&made.at("cp-1"), &patient(20), Box::new(|_| Then::Send), on_answer);
    let remote = remote.map_err(|error: NodeError| error.to_string())?;
    let files = |path: &str| ObserveRequest {
        files: [(path.to_owned(), Expect::Certificates)].into(),
        ..ObserveRequest::default()
    };
    for path in ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/etcd/ca.crt"] {
        let facts = remote.observe(&files(path)).map_err(|error| error.to_string())?;
        assert_eq!(facts.files.keys().collect::<Vec<_>>(), [path]);
    }
    Ok(())
}

/// What a node makes of a request and of the honest answer to it.
type Alters = Box<dyn FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send>;

/// Whether a message asks what is on the node.
fn asks(request: &[u8]) -> bool {
    request.starts_with(br#"{"observe""#)
}

#[test]
fn who_does_not_keep_to_the_protocol_is_not_asked_again() {
    assert_eq!(asked(|_, answer| framed(&answer)), Ok(()), "the honest node is heard");
    let refused = |lie: Alters, says: &str| {
        let begun = Instant::now();
        let error = asked(lie).unwrap_err();
        // What comes unasked is met before the next question, or taken for the answer to it.
        let is_known = says.split(" | ").any(|says| error.contains(says));
        assert!(is_known, "{says}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(25), "{says}: {:?}", begun.elapsed());
    };
    let with = |more: &'static str| -> Alters {
        Box::new(move |request, answer| match asks(request) {
            true => framed(String::from_utf8(answer).unwrap().replacen("\"files\":{", more, 1).as_bytes()),
            false => framed(&answer),
        })
    };
    let unasked = "it answered what was not asked";
    let early = "spoke without being asked | it answered what was not asked | not what was asked for";
    refused(with("\"files\":{\"/etc/shadow\":\"absent\","), unasked);
    refused(with("\"services\":{\"etcd\":{}},\"files\":{"), unasked);
    refused(with("\"openTransaction\":\"absent\",\"files\":{"), unasked);
    refused(with("\"etcd\":\"absent\",\"files\":{"), unasked);
    refused(with("\"clock\":\"2026-11-30T00:00:00Z\",\"files\":{"), unasked);
    refused(
        Box::new(|request, answer| match asks(request) {
            true => framed(br#"{"done":{"certificate":"x"}}"#),
            false => framed(&answer),
        }),
        "not what was asked for",
    );
    refused(
        Box::new(|request, answer| match asks(request) {
            true => [framed(&answer), framed(&answer)].concat(),
            false => framed(&answer),
        }),
        early,
    );
    refused(Box::new(|_, answer| [framed(&answer), framed(b"{\"done\":null}")].concat()), early);
    refused(
        Box::new(|_, answer| {
            let text = String::from_utf8(answer).unwrap();
            framed(text.replacen("\"major\":1", "\"major\":2", 1).as_bytes())
        }),
        "protocol",
    );
    let mut first = None;
    refused(
        Box::new(move |request, answer| match asks(request) {
            true => framed(first.get_or_insert(answer)),
            false => framed(&answer),
        }),
        unasked,
    );
    let long = format!("\"hostname\":\"{}\",\"files\":{{", "\\u001b[31m##[add-mask]\\n".repeat(1000));
    refused(
        Box::new(move |request, answer| match asks(request) {
            true => framed(String::from_utf8(answer).unwrap().replacen("\"files\":{", &long, 1).as_bytes()),
            false => framed(&answer),
        }),
        unasked,
    );
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let more = asked(|request, answer| match asks(request) {
        true => framed(
            String::from_utf8(answer)
                .unwrap()
                .replacen("\"files\":{", "\"later\":[{}],\"files\":{", 1)
                .as_bytes(),
        ),
        false => framed(&answer),
    });
    assert_eq!(more, Ok(()));
}
