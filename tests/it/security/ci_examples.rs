//! The workflows of `examples/ci` as a runner executes them, in a checkout that does what it can to be believed: nothing is applied but the reviewed plan, and
//! whatever is missing or doubtful ends the job red.
#![expect(clippy::disallowed_methods, reason = "the tests run the lines of workflows")]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cluster::{NODES, ROOT, left_out};
use crate::support::listing::{Listing, listing};
use crate::support::made::{Made, Spec};
use crate::support::program;

const HEAD: &str = "1111111111111111111111111111111111111111";
const MERGE: &str = "2222222222222222222222222222222222222222";
const RUN: u32 = 41;

fn workflow(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(ROOT).join("examples/ci").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// `gh` of a repository that lies in a folder; whatever it is asked besides fails.
const GH: &str = include_str!("../../support/stand_ins/gh");

/// The program, with its calls written down. The nodes of the tests are folders, which `--untrusted` refuses, so that is taken away here.
const PKI: &str = include_str!("../../support/stand_ins/pki");

/// A runner with a checkout.
struct Runner {
    made: Made,
    world: tempfile::TempDir,
    /// What steps have put out.
    outputs: BTreeMap<String, String>,
}

/// How a job ended.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    green: bool,
    said: String,
}

impl Runner {
    /// A checkout in which everything is due, and which holds files and links of every name that a workflow might take for its own.
    fn new() -> Self {
        let made = Made::new();
        made.spec(&Spec::renewing());
        let world = tempfile::tempdir().unwrap();
        let runner = Self { made, world, outputs: BTreeMap::new() };
        std::fs::create_dir_all(runner.at("bin")).unwrap();
        for (name, text) in [("gh", GH), ("pki", PKI)] {
            std::fs::write(runner.at("bin").join(name), text).unwrap();
            std::fs::set_permissions(runner.at("bin").join(name), std::fs::Permissions::from_mode(0o755))
                .unwrap();
        }
        std::fs::create_dir(runner.at("temp")).unwrap();
        runner.write("pulls.json", &json!([{ "number": 7, "merged_at": "2026-11-30T00:00:00Z", "merge_commit_sha": MERGE, "head": { "sha": HEAD } }]));
        runner.write(
            "runs.json",
            &json!({ "workflow_runs": [run(RUN, HEAD, "success"), run(40, HEAD, "failure")] }),
        );
        runner.write("comments.json", &json!([]));
        // A plan that really could be applied, with its digest, committed to the checkout.
        runner.made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json", "--report", "markdown=plan.md"]);
        let checkout = runner.made.path();
        let digest = program::stdout(
            &Command::new("sha256sum").arg("plan.json").current_dir(checkout).output().unwrap(),
        );
        let digest = format!("sha256:{}", digest.get(..64).unwrap());
        for name in ["digest", "result", "run"] {
            std::fs::write(checkout.join(name), &digest).unwrap();
        }
        std::fs::create_dir(checkout.join("artifact")).unwrap();
        std::fs::copy(checkout.join("plan.json"), checkout.join("artifact/plan.json")).unwrap();
        std::fs::write(checkout.join("artifact/result"), "plan\n").unwrap();
        symlink("artifact", checkout.join(".pki")).unwrap();
        runner
    }

    fn at(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        std::fs::write(self.at(name), value.to_string()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// The nodes, which alone tell whether anything was applied.
    fn nodes(&self) -> Vec<Listing> {
        NODES.iter().map(|node| listing(&self.made.at(node))).collect()
    }

    fn shell(&self, script: &str, env: &BTreeMap<String, String>) -> Ended {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.at("bin").display());
        let output = Command::new("bash")
            .args(["-e", "-c", script])
            .current_dir(self.made.path())
            .env_clear()
            .env("PATH", path)
            .env("WORLD", self.world.path())
            .env("REAL_PKI", env!("CARGO_BIN_EXE_pki"))
            .env("CI", "true")
            .envs(env)
            .output()
            .unwrap();
        let said = format!("{}{}", program::stdout(&output), program::stderr(&output));
        self.made.heard(output.clone());
        Ended { green: output.status.success(), said }
    }

    /// A text with the expressions of GitHub in it replaced.
    fn expanded(&self, text: &str) -> String {
        let mut expanded = text.to_owned();
        while let Some((before, rest)) = expanded.split_once("${{") {
            let (expression, after) = rest.split_once("}}").unwrap();
            let value = match expression.trim() {
                "github.token" => "token".to_owned(),
                "github.event.number" => "7".to_owned(),
                step => self.outputs.get(step.strip_prefix("steps.").unwrap()).cloned().unwrap_or_default(),
            };
            expanded = format!("{before}{value}{after}");
        }
        expanded
    }

    fn runs(&self, condition: Option<&str>, is_green: bool) -> bool {
        let output = |name: &str| self.outputs.get(name).map_or("", String::as_str);
        match condition {
            Some("always() && steps.plan.outputs.out != ''") => !output("plan.outputs.out").is_empty(),
            Some("steps.fetch.outputs.result == 'plan'") => {
                is_green && output("fetch.outputs.result") == "plan"
            }
            _ => {
                assert_eq!(condition, None, "what does it mean?");
                is_green
            }
        }
    }

    /// A job of GitHub, step by step.
    fn github(&mut self, job: &str) -> Ended {
        self.outputs.clear();
        let workflow = workflow("github-actions.yaml");
        let mut ended = Ended { green: true, said: String::new() };
        for step in workflow["jobs"][job]["steps"].as_array().unwrap() {
            if !self.runs(step["if"].as_str(), ended.green) {
                continue;
            }
            if let Some(uses) = step["uses"].as_str() {
                if uses.starts_with("actions/upload-artifact@") {
                    let from = self.expanded(step["with"]["path"].as_str().unwrap());
                    let to = self.at(&format!("artifacts/{RUN}/{}", step["with"]["name"].as_str().unwrap()));
                    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                    assert!(
                        Command::new("cp")
                            .arg("-r")
                            .args([Path::new(&from), &to])
                            .status()
                            .unwrap()
                            .success()
                    );
                }
                continue;
            }
            let mut env: BTreeMap<String, String> = BTreeMap::new();
            for source in [&workflow["env"], &step["env"]] {
                for (name, value) in source.as_object().into_iter().flatten() {
                    env.insert(name.clone(), self.expanded(value.as_str().unwrap()));
                }
            }
            let output = self.at("temp/output");
            std::fs::write(&output, "").unwrap();
            for (name, value) in [
                ("SPEC", "spec.yaml".to_owned()),
                ("CLUSTER", "prod-eu1".to_owned()),
                ("GITHUB_REPOSITORY", "o/r".to_owned()),
                ("GITHUB_SHA", MERGE.to_owned()),
                ("RUNNER_TEMP", self.at("temp").display().to_string()),
                ("GITHUB_OUTPUT", output.display().to_string()),
                ("GITHUB_STEP_SUMMARY", self.at("summary.md").display().to_string()),
            ] {
                env.insert(name.to_owned(), value);
            }
            let run = self.shell(step["run"].as_str().unwrap(), &env);
            let id = step["id"].as_str().unwrap_or_default();
            for line in std::fs::read_to_string(&output).unwrap().lines() {
                let (name, value) = line.split_once('=').unwrap();
                self.outputs.insert(format!("{id}.outputs.{name}"), value.to_owned());
            }
            ended.green &= run.green;
            ended.said.push_str(&run.said);
        }
        ended
    }

    /// A job of GitLab with these variables.
    fn gitlab(&self, job: &str, variables: &[(&str, &str)]) -> Ended {
        let pipeline = workflow("gitlab-ci.yml");
        let lines: Vec<&str> =
            pipeline[job]["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in pipeline["variables"].as_object().unwrap() {
            env.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        env.insert("SPEC".to_owned(), "spec.yaml".to_owned());
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.shell(&lines.join("\n"), &env)
    }

    /// The comment that the workflow has posted, as it comes back.
    fn comment(&self) -> Value {
        let at = "2026-11-30T00:00:00Z";
        json!({ "id": 3, "user": { "login": "github-actions[bot]" }, "created_at": at, "updated_at": at, "body": self.read("posted.md") })
    }

    /// The plan was made, posted and merged.
    fn reviewed() -> Self {
        let mut runner = Self::new();
        let planned = runner.github("plan");
        assert!(planned.green, "{}", planned.said);
        runner.write("comments.json", &json!([runner.comment()]));
        runner
    }
}

fn run(id: u32, sha: &str, conclusion: &str) -> Value {
    json!({ "id": id, "run_number": id, "head_sha": sha, "event": "pull_request", "conclusion": conclusion })
}

fn has_jq() -> bool {
    let found = Command::new("jq").arg("--version").output().is_ok();
    if !found {
        left_out("the workflows of GitHub", "jq is not installed");
    }
    found
}

#[test]
fn every_example_of_a_pipeline_is_known_here() {
    let mut names: Vec<String> = std::fs::read_dir(Path::new(ROOT).join("examples/ci"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["github-actions.yaml", "gitlab-ci.yml", "pre-commit-config.yaml"]);
    // It has no lines of a shell: the program itself is called with the names of files.
    assert_eq!(workflow("pre-commit-config.yaml")["repos"][0]["hooks"][0]["entry"], "pki validate");
    for (name, lines) in
        [("github-actions.yaml", "set -euo pipefail"), ("gitlab-ci.yml", "set -euo pipefail")]
    {
        let text = std::fs::read_to_string(Path::new(ROOT).join("examples/ci").join(name)).unwrap();
        let scripts = text.matches(" run: |").count() + text.matches("  script:").count();
        assert!(text.matches(lines).count() >= scripts, "{name}: a script goes on after a failure");
    }
}

#[test]
fn the_straight_way_plans_posts_and_applies() {
    if !has_jq() {
        return;
    }
    let mut runner = Runner::reviewed();
    assert!(
        runner
            .read("calls")
            .lines()
            .next()
            .unwrap()
            .contains("--untrusted --hosts-from /etc/pki/prod-hosts.yaml")
    );
    let first = runner.read("posted.md").lines().next().unwrap().to_owned();
    assert!(first.starts_with("<!-- pki plan prod-eu1 sha256:") && first.ends_with(" -->"), "{first}");
    let applied = runner.github("apply");
    assert!(applied.green, "{}", applied.said);
    assert!(applied.said.contains("\"outcome\":\"done\""), "{}", applied.said);
    runner.made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    // Now nothing is to do, and that is told by a file of its own.
    let _none = std::fs::remove_dir_all(runner.at("artifacts"));
    runner.write("comments.json", &json!([runner.comment(), { "id": 4, "user": { "login": "somebody" }, "body": "<!-- pki plan prod-eu1 -->" }]));
    assert!(runner.github("plan").green);
    assert_eq!(runner.read("deleted"), "3\n", "its own comment of the last time, and nobody else's");
    let before = runner.nodes();
    let nothing = runner.github("apply");
    assert!(nothing.green && runner.nodes() == before, "{}", nothing.said);
    runner.made.no_secret_was_told();
}

/// One way in which something is missing or doubtful.
type Doubt = (&'static str, fn(&Runner));

#[test]
fn whatever_is_missing_or_doubtful_ends_red_and_applies_nothing() {
    if !has_jq() {
        return;
    }
    let artifact = |runner: &Runner, name: &str| runner.at(&format!("artifacts/{RUN}/pki-plan/{name}"));
    assert!(artifact(&Runner::reviewed(), "plan.json").exists());
    fn at(runner: &Runner, name: &str) -> PathBuf {
        runner.at(&format!("artifacts/{RUN}/pki-plan/{name}"))
    }
    fn with(runner: &Runner, change: impl FnOnce(&mut Value)) {
        let mut comment = runner.comment();
        change(&mut comment);
        runner.write("comments.json", &json!([comment]));
    }
    let doubts: [Doubt; 20] = [
        ("no gh at all", |runner| std::fs::write(runner.at("bin/gh"), "#!/bin/sh\nexit 1\n").unwrap()),
        ("no artifact", |runner| std::fs::remove_dir_all(runner.at("artifacts")).unwrap()),
        ("an artifact of another run", |runner| {
            std::fs::rename(runner.at("artifacts/41"), runner.at("artifacts/99")).unwrap();
        }),
        ("a run of another commit", |runner| {
            runner.write("runs.json", &json!({ "workflow_runs": [run(RUN, MERGE, "success")] }));
        }),
        ("a last run that failed", |runner| {
            runner.write(
                "runs.json",
                &json!({ "workflow_runs": [run(RUN, HEAD, "success"), run(42, HEAD, "failure")] }),
            );
        }),
        ("no run", |runner| runner.write("runs.json", &json!({ "workflow_runs": [] }))),
        ("no pull request", |runner| runner.write("pulls.json", &json!([]))),
        ("a pull request that was not merged", |runner| {
            runner.write("pulls.json", &json!([{ "number": 7, "merged_at": null, "merge_commit_sha": MERGE, "head": { "sha": HEAD } }]));
        }),
        ("two pull requests", |runner| {
            let pull =
                json!({ "number": 7, "merged_at": "x", "merge_commit_sha": MERGE, "head": { "sha": HEAD } });
            runner.write("pulls.json", &json!([pull, pull]));
        }),
        ("no comment", |runner| runner.write("comments.json", &json!([]))),
        ("a comment of somebody else", |runner| {
            with(runner, |comment| comment["user"]["login"] = "somebody".into());
        }),
        ("a comment that was edited", |runner| {
            with(runner, |comment| comment["updated_at"] = "2026-11-30T01:00:00Z".into());
        }),
        ("two comments", |runner| {
            runner.write("comments.json", &json!([runner.comment(), runner.comment()]));
        }),
        ("a comment about another cluster", |runner| {
            with(runner, |comment| {
                comment["body"] = comment["body"].as_str().unwrap().replacen("prod-eu1", "prod-eu2", 1).into()
            });
        }),
        ("a digest that is not in the first line", |runner| {
            with(runner, |comment| {
                comment["body"] =
                    format!("<!-- pki plan prod-eu1 -->\n{}", comment["body"].as_str().unwrap()).into();
            });
        }),
        ("another digest", |runner| {
            with(runner, |comment| {
                let body = comment["body"].as_str().unwrap().to_owned();
                let (_, rest) = body.split_once('\n').unwrap();
                comment["body"] =
                    format!("<!-- pki plan prod-eu1 sha256:{} -->\n{rest}", "ab".repeat(32)).into();
            });
        }),
        ("an artifact that says nothing", |runner| std::fs::remove_file(at(runner, "result")).unwrap()),
        ("an artifact without its plan", |runner| std::fs::remove_file(at(runner, "plan.json")).unwrap()),
        ("an artifact that says two things", |runner| {
            std::fs::write(at(runner, "result"), "nothing\n").unwrap()
        }),
        ("another plan in the artifact", |runner| {
            std::fs::copy(runner.made.at("plan.json"), at(runner, "plan.json")).unwrap();
        }),
    ];
    for (what, doubt) in doubts {
        let mut runner = Runner::reviewed();
        let before = runner.nodes();
        doubt(&runner);
        let ended = runner.github("apply");
        assert!(!ended.green, "{what}: {}", ended.said);
        assert!(runner.nodes() == before, "{what}: something was applied: {}", ended.said);
    }
}

#[test]
fn a_spec_without_a_plan_is_posted_as_what_it_is_and_never_as_what_was_committed() {
    if !has_jq() {
        return;
    }
    let invalid: fn(&Runner) = |runner| {
        std::fs::write(runner.made.at("spec.yaml"), "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: prod-eu1 }\nspec: { profil: etcd }\n").unwrap()
    };
    let blocked: fn(&Runner) = |runner| {
        let [leaf, ca] =
            ["apiserver", "ca"].map(|name| runner.made.at(&format!("cp-2/etc/kubernetes/pki/{name}.crt")));
        std::fs::copy(leaf, ca).unwrap();
        let digest = format!("/etc/sha256:{}", "a".repeat(64));
        let more = format!(
            "  certificates: {{ x: {{ authority: ca, subject: {{ commonName: x }}, usages: [client], files: {{ certificate: \"{digest}.crt\", key: \"{digest}.key\" }}, on: {{ role: control-plane }} }} }}\n"
        );
        runner.made.spec(&Spec { more: &more, ..Spec::renewing() });
    };
    let gone: fn(&Runner) = |runner| std::fs::remove_file(runner.made.at("spec.yaml")).unwrap();
    for (what, change, words) in
        [("invalid", invalid, "PKI1"), ("blocked", blocked, "blocked by"), ("gone", gone, "no plan")]
    {
        let mut runner = Runner::new();
        let committed = std::fs::read_to_string(runner.made.at("plan.md")).unwrap();
        let before = runner.nodes();
        change(&runner);
        let planned = runner.github("plan");
        assert!(!planned.green, "{what}: {}", planned.said);
        let posted = runner.read("posted.md");
        assert!(posted.contains(words) && posted != committed, "{what}: {posted}");
        assert!(!posted.lines().next().unwrap().contains("sha256:"), "{what}: {posted}");
        // Somebody merges it all the same.
        runner.write("comments.json", &json!([runner.comment()]));
        let applied = runner.github("apply");
        assert!(!applied.green, "{what}: {}", applied.said);
        let own = what != "blocked";
        assert!(!own || runner.nodes() == before, "{what}: something was applied");
        assert!(!runner.read("calls").contains("apply "), "{what}: {}", runner.read("calls"));
        let gitlab = runner.gitlab("pki-plan", &[]);
        assert!(!gitlab.green, "{what}: {}", gitlab.said);
        assert!(
            !runner.made.at(".pki/plan.json").exists() && runner.made.at(".pki/plan.md").exists(),
            "{what}"
        );
    }
}

#[test]
fn gitlab_applies_the_plan_of_its_own_job_and_nothing_else() {
    let runner = Runner::new();
    assert!(runner.gitlab("pki-validate", &[]).green);
    assert!(runner.gitlab("pki-plan-merge-request", &[]).green);
    let before = runner.nodes();
    let committed = std::fs::read(runner.made.at("artifact/plan.json")).unwrap();
    let planned = runner.gitlab("pki-plan", &[]);
    assert!(planned.green, "{}", planned.said);
    assert_eq!(
        std::fs::read(runner.made.at("artifact/plan.json")).unwrap(),
        committed,
        "no link of the checkout is followed"
    );
    let env = std::fs::read_to_string(runner.made.at(".pki/plan.env")).unwrap();
    let digest = env.trim().strip_prefix("PLAN_DIGEST=").unwrap().to_owned();
    assert!(digest.starts_with("sha256:"), "{env}");
    for (what, variables) in [
        ("no digest", &[][..]),
        ("an empty one", &[("PLAN_DIGEST", "")]),
        ("no such thing", &[("PLAN_DIGEST", "yes")]),
    ] {
        assert!(!runner.gitlab("pki-apply", variables).green, "{what}");
    }
    let ours = std::fs::read(runner.made.at(".pki/plan.json")).unwrap();
    std::fs::copy(runner.made.at("plan.json"), runner.made.at(".pki/plan.json")).unwrap();
    assert!(!runner.gitlab("pki-apply", &[("PLAN_DIGEST", &digest)]).green, "another plan");
    assert!(runner.nodes() == before, "something was applied");
    std::fs::write(runner.made.at(".pki/plan.json"), ours).unwrap();
    let applied = runner.gitlab("pki-apply", &[("PLAN_DIGEST", &digest)]);
    assert!(applied.green, "{}", applied.said);
    runner.made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    let nothing = runner.gitlab("pki-plan", &[]);
    assert!(nothing.green && !runner.made.at(".pki/plan.json").exists(), "{}", nothing.said);
    assert!(runner.gitlab("pki-apply", &[("PLAN_DIGEST", "none")]).green);
}
