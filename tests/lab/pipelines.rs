//! The commands of the examples for pipelines, as they stand in their YAML, against real machines. GitHub's own program is a stand-in that keeps one comment.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::cluster::ROOT;
use crate::controller::Controller;
use crate::same::without_connections;

/// `gh` with one pull request, number 7, and at most one comment on it; artifacts lie in a folder.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
echo "$*" >>"$STORE/calls"
case "$*" in
  *"--method POST"* | *"--method PATCH"*) cp plan.md "$STORE/comment" ;;
  *"| .id"*) [ ! -e "$STORE/comment" ] || echo 1 ;;
  *"| .body"*) cat "$STORE/comment" ;;
  *"/pulls --jq"*) echo 7 ;;
  "run download"*) cp "$STORE/plan.json" . ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
"#;

struct Pipeline<'a> {
    controller: &'a Controller,
    example: Value,
}

impl<'a> Pipeline<'a> {
    fn new(controller: &'a Controller, example: &str) -> Self {
        for folder in ["bin", "store", "work/clusters/prod"] {
            std::fs::create_dir_all(controller.at(folder)).unwrap();
        }
        let gh = controller.at("bin/gh");
        std::fs::write(&gh, GH).unwrap();
        std::fs::set_permissions(&gh, std::fs::Permissions::from_mode(0o755)).unwrap();
        let _there = symlink(&controller.program, controller.at("bin/pki"));
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
            .env("STORE", self.controller.at("store"));
        bash.env("SPEC", "clusters/prod/pki.yaml").env("GITHUB_REPOSITORY", "o/r").env("PULL_REQUEST", "7");
        bash.env("GITHUB_SHA", "4f1c2ab0").env("ARTIFACT", "pki-plan-1").env("GH_TOKEN", "none");
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

#[test]
fn on_github_a_plan_is_a_comment_and_its_merge_applies_exactly_that() {
    let (_nodes, controller) = Controller::of_cluster();
    let pipeline = Pipeline::new(&controller, "github-actions.yaml");
    pipeline.spec(&spec("validity: 365d, renewBefore: 30d"));
    for commands in pipeline.steps("plan") {
        pipeline.ends(0, &commands, &[]);
    }
    assert_eq!(std::fs::read_to_string(controller.at("store/output")).unwrap(), "code=2\n");
    let comment = std::fs::read_to_string(controller.at("store/comment")).unwrap();
    assert!(comment.starts_with("<!-- pki plan quickstart -->\n### pki plan: issue "), "{comment}");
    assert_eq!(std::fs::read_to_string(controller.at("store/summary")).unwrap(), comment);
    std::fs::rename(pipeline.work("plan.json"), controller.at("store/plan.json")).unwrap();

    let merged: Vec<String> =
        pipeline.steps("apply").iter().map(|commands| pipeline.ends(0, commands, &[])).collect();
    let last: Value = serde_json::from_str(merged.last().unwrap().lines().last().unwrap()).unwrap();
    assert_eq!((&last["outcome"], &last["touched"]), (&"done".into(), &true.into()));

    // The next pull request changes nothing, and its comment takes the place of the old one.
    for commands in pipeline.steps("plan") {
        pipeline.ends(0, &commands, &[]);
    }
    let calls = std::fs::read_to_string(controller.at("store/calls")).unwrap();
    assert!(calls.contains("--method POST") && calls.contains("--method PATCH"), "{calls}");
    assert!(std::fs::read_to_string(controller.at("store/comment")).unwrap().contains("no changes"));

    // An artifact that is not what the comment says is not applied.
    let text = std::fs::read_to_string(controller.at("store/plan.json")).unwrap();
    std::fs::write(controller.at("store/plan.json"), format!("{text} ")).unwrap();
    std::fs::write(controller.at("store/comment"), &comment).unwrap();
    let steps = pipeline.steps("apply");
    pipeline.ends(0, &steps[0], &[]);
    pipeline.ends(4, &steps[1], &[]);
}

#[test]
fn on_gitlab_a_person_starts_exactly_what_was_planned() {
    let (_nodes, controller) = Controller::of_cluster();
    let pipeline = Pipeline::new(&controller, "gitlab-ci.yml");
    pipeline.spec(&spec("validity: 365d, renewBefore: 30d"));
    pipeline.ends(0, &pipeline.script("pki-validate"), &[]);
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    let widget: Value =
        serde_json::from_slice(&std::fs::read(pipeline.work("gitlab.json")).unwrap()).unwrap();
    assert_eq!((&widget["update"].as_u64(), &widget["delete"]), (&widget["update"].as_u64(), &0.into()));
    assert!(widget["create"].as_u64().unwrap() > 30, "{widget}");
    let told = std::fs::read_to_string(pipeline.work("plan.env")).unwrap();
    let digest = told.trim().strip_prefix("PLAN_DIGEST=").unwrap();
    pipeline.ends(0, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    // A spec that changed after the plan is another one.
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    pipeline.spec(&spec("validity: 730d, renewBefore: 400d"));
    pipeline.ends(0, &pipeline.script("pki-plan"), &[]);
    let told = std::fs::read_to_string(pipeline.work("plan.env")).unwrap();
    let digest = told.trim().strip_prefix("PLAN_DIGEST=").unwrap();
    pipeline.spec(&spec("validity: 731d, renewBefore: 400d"));
    pipeline.ends(4, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    pipeline.spec(&spec("validity: 730d, renewBefore: 400d"));
    pipeline.ends(0, &pipeline.script("pki-apply"), &[("PLAN_DIGEST", digest)]);
    controller.is_left_clean();
}
