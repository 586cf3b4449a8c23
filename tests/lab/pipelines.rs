//! The commands of the examples for pipelines, as they stand in their YAML, against real machines. GitHub's own program is a stand-in that keeps one comment.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::controller::Controller;
use crate::nodes::Called;
use crate::same::without_connections;
use crate::support::cluster::ROOT;

/// `gh` of a repository that lies in a folder; whatever it is asked besides fails.
const GH: &str = include_str!("../support/stand_ins/gh");

/// The program. A plan of a pull request copies no program to a node, and the nodes of the lab have none of their own: for them it is a plan like any other.
const PKI: &str = include_str!("../support/stand_ins/pki");

const HEAD: &str = "1111111111111111111111111111111111111111";
const MERGE: &str = "2222222222222222222222222222222222222222";

struct Pipeline<'a> {
    controller: &'a Controller,
    example: Value,
}

impl<'a> Pipeline<'a> {
    fn new(controller: &'a Controller, example: &str) -> Self {
        for folder in ["bin", "store", "work/clusters/prod"] {
            std::fs::create_dir_all(controller.at(folder)).unwrap();
        }
        for (name, text) in [("gh", GH), ("pki", PKI)] {
            let program = controller.at("bin").join(name);
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = std::fs::read_to_string(Path::new(ROOT).join("examples/ci").join(example)).unwrap();
        Self { controller, example: serde_saphyr::from_str(&text).unwrap() }
    }

    fn work(&self, name: &str) -> PathBuf {
        self.controller.at("work").join(name)
    }

    /// The commands of a job of GitHub's, step by step.
    fn steps(&self, job: &str) -> Vec<String> {
        let steps = self.example["jobs"][job]["steps"].as_array().unwrap();
        steps.iter().filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
    }

    /// The commands of a job of GitLab's.
    fn script(&self, job: &str) -> String {
        let lines = self.example[job]["script"].as_array().unwrap();
        lines.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
    }

    fn run(&self, commands: &str, more: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.controller.at("bin").display(), std::env::var("PATH").unwrap());
        let file = |name: &str| self.controller.at("store").join(name);
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", commands])
            .current_dir(self.controller.at("work"))
            .env_clear()
            .env("PATH", path);
        bash.env("HOME", self.controller.at("home")).env("TMPDIR", self.controller.at("tmp"));
        bash.env("XDG_RUNTIME_DIR", self.controller.at("run")).env("CI", "true");
        bash.env("PKI_SSH_CONFIG", self.controller.at("ssh_config"))
            .env("WORLD", self.controller.at("store"));
        bash.env("SPEC", "clusters/prod/pki.yaml").env("CLUSTER", "quickstart").env("HOSTS", "/none");
        bash.env("WORKFLOW", "pki.yaml").env("GITHUB_REPOSITORY", "o/r").env("PULL_REQUEST", "7");
        bash.env("GITHUB_SHA", MERGE).env("GH_TOKEN", "none").env("RUNNER_TEMP", self.controller.at("tmp"));
        bash.env("REAL_PKI", &self.controller.program);
        bash.env("GITHUB_STEP_SUMMARY", file("summary")).env("GITHUB_OUTPUT", file("output"));
        bash.envs(more.iter().copied()).output().unwrap()
    }

    #[track_caller]
    fn ends(&self, code: i32, commands: &str, more: &[(&str, &str)]) -> String {
        crate::controller::ended_with(code, &self.run(commands, more))
    }

    fn spec(&self, text: &str) {
        std::fs::write(self.work("clusters/prod/pki.yaml"), text).unwrap();
    }
}

fn spec(defaults: &str) -> String {
    let text = std::fs::read_to_string(Path::new(ROOT).join("examples/quickstart.yaml")).unwrap();
    let text = without_connections(&text);
    assert!(text.contains("validity: 365d, renewBefore: 30d"), "{text}");
    text.replace("validity: 365d, renewBefore: 30d", defaults)
}

impl Pipeline<'_> {
    /// What a step has put out, by name.
    fn outputs(&self) -> BTreeMap<String, String> {
        let path = self.controller.at("store/output");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, "").unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Where the plan of a run lies.
    fn artifact(&self) -> PathBuf {
        self.controller.at("store/artifacts/41/pki-plan")
    }

    fn store(&self, name: &str, value: &Value) {
        std::fs::write(self.controller.at("store").join(name), value.to_string()).unwrap();
    }

    /// The job that plans; the comment that it has written.
    fn plans(&self) -> String {
        let steps = self.steps("plan");
        self.ends(0, &steps[0], &[]);
        let out = self.outputs().remove("out").unwrap();
        let artifact = self.artifact();
        let _none = std::fs::remove_dir_all(&artifact);
        std::fs::create_dir_all(artifact.parent().unwrap()).unwrap();
        let copied =
            Command::new("cp").arg("-r").arg(Path::new(&out).join("artifact")).arg(artifact).status();
        assert!(copied.unwrap().success());
        self.ends(0, &steps[1], &[("OUT", &out)]);
        let posted = std::fs::read_to_string(self.controller.at("store/posted.md")).unwrap();
        let at = "2026-11-30T00:00:00Z";
        self.store("comments.json", &json!([{ "id": 3, "user": { "login": "github-actions[bot]" }, "created_at": at, "updated_at": at, "body": posted }]));
        posted
    }

    /// The job that applies, up to its last step, which ends so; none where there is nothing to apply.
    fn applies(&self, code: i32) -> Option<String> {
        let steps = self.steps("apply");
        self.ends(0, &steps[0], &[]);
        let outputs = self.outputs();
        let digest = outputs.get("digest").filter(|_| outputs["result"] == "plan")?;
        Some(self.ends(code, &steps[1], &[("OUT", &outputs["out"]), ("DIGEST", digest)]))
    }
}

#[test]
fn on_github_a_plan_is_a_comment_and_its_merge_applies_exactly_that() {
    let (nodes, controller) = Controller::of_cluster();
    let _called = Called::as_in_the_example(&nodes);
    let pipeline = Pipeline::new(&controller, "github-actions.yaml");
    pipeline.spec(&spec("validity: 365d, renewBefore: 30d"));
    pipeline.store("comments.json", &json!([]));
    pipeline.store("pulls.json", &json!([{ "number": 7, "merged_at": "2026-11-30T00:00:00Z", "merge_commit_sha": MERGE, "head": { "sha": HEAD } }]));
    pipeline.store("runs.json", &json!({ "workflow_runs": [{ "id": 41, "run_number": 41, "head_sha": HEAD, "event": "pull_request", "conclusion": "success" }] }));
    let comment = pipeline.plans();
    assert!(comment.starts_with("<!-- pki plan quickstart sha256:"), "{comment}");
    assert_eq!(std::fs::read_to_string(controller.at("store/summary")).unwrap(), comment);
    let reviewed = std::fs::read(controller.at("store/comments.json")).unwrap();
    let plan = std::fs::read_to_string(pipeline.artifact().join("plan.json")).unwrap();

    let said = pipeline.applies(0).unwrap();
    let last = said.lines().rfind(|line| line.starts_with('{')).unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["outcome"], &last["touched"]), (&"done".into(), &true.into()));

    // The next pull request changes nothing, and its comment takes the place of the old one.
    pipeline.plans();
    let deleted = std::fs::read_to_string(controller.at("store/deleted")).unwrap();
    assert_eq!(deleted, "3\n", "its own comment of the last time");
    assert_eq!(pipeline.applies(0), None);

    // An artifact that is not what the comment says is not applied.
    std::fs::write(pipeline.artifact().join("plan.json"), format!("{plan} ")).unwrap();
    std::fs::write(pipeline.artifact().join("result"), "plan\n").unwrap();
    std::fs::write(controller.at("store/comments.json"), reviewed).unwrap();
    pipeline.applies(4).unwrap();
}

#[test]
fn on_gitlab_a_person_starts_exactly_what_was_planned() {
    let (nodes, controller) = Controller::of_cluster();
    let _called = Called::as_in_the_example(&nodes);
    let pipeline = Pipeline::new(&controller, "gitlab-ci.yml");
    pipeline.spec(&spec("validity: 365d, renewBefore: 30d"));
    pipeline.ends(0, &pipeline.script("pki-validate"), &[]);
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    let widget: Value =
        serde_json::from_slice(&std::fs::read(pipeline.work(".pki/gitlab.json")).unwrap()).unwrap();
    assert_eq!((&widget["update"].as_u64(), &widget["delete"]), (&widget["update"].as_u64(), &0.into()));
    assert!(widget["create"].as_u64().unwrap() > 30, "{widget}");
    let told = std::fs::read_to_string(pipeline.work(".pki/plan.env")).unwrap();
    let digest = told.trim().strip_prefix("PLAN_DIGEST=").unwrap();
    pipeline.ends(0, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    // A spec that changed after the plan is another one.
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    pipeline.spec(&spec("validity: 730d, renewBefore: 400d"));
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    let told = std::fs::read_to_string(pipeline.work(".pki/plan.env")).unwrap();
    let digest = told.trim().strip_prefix("PLAN_DIGEST=").unwrap();
    pipeline.spec(&spec("validity: 731d, renewBefore: 400d"));
    pipeline.ends(4, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    pipeline.spec(&spec("validity: 730d, renewBefore: 400d"));
    pipeline.ends(0, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    controller.is_left_clean();
}
