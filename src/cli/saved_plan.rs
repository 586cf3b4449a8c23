//! `pki apply PLAN`: exactly what was saved and reviewed, or nothing.
//!
//! What enters is a plan that `pki plan -o` has written; what leaves is its run. First everything is checked that needs no node, and all of it is told at once:
//! format, digest, age, the spec. Then the nodes are looked at: what is done already is passed over, what has changed under the plan is named, and the rest is
//! simulated once more, because a file can have been edited.

use std::path::{Path, PathBuf};

use pki::apply::Done;
use pki::diagnostic::escaped;
use pki::diff::{diff, instant};
use pki::plan::{Plan, Standing, Standings, standing};
use pki::simulate::{Processes, simulate_rest};
use pki::survey::Survey;
use pki::x509::Sha256;

use super::apply::{Arguments, Call};
use super::cluster::{Cluster, no_such_phase};
use super::consent::Tied;
use super::{Exit, Global, files, output};

/// What names a saved plan.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SavedArguments {
    /// A plan that `pki plan -o` has written, or `-` for standard input; without one, a plan is made and applied at once
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "replace", "skip_node", "certificates"])]
    pub(super) plan_file: Option<PathBuf>,
    /// Apply the saved plan only if it has this digest, as the approval says
    #[arg(long, value_name = "sha256:DIGEST", requires = "plan_file", value_parser = digest)]
    pub(super) expect_digest: Option<Sha256>,
}

fn digest(text: &str) -> Result<Sha256, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    hex.parse().map_err(|_| "write sha256: and 64 hexadecimal digits, as `pki plan -o` shows it".to_owned())
}

/// Applies a saved plan.
///
/// # Errors
/// The exit code, after everything that speaks against it was told.
pub(super) fn run(path: &Path, call: &Call<'_>) -> Result<Exit, Exit> {
    let arguments = call.arguments;
    let (plan, bytes): (Plan, _) = files::read(path)?;
    let cluster = fitting(&plan, &Sha256::of(&bytes), arguments, call.global)?;
    arguments.consent.possible()?;
    let mut nodes = cluster.nodes();
    let survey = cluster.survey(&nodes)?;
    let differences = diff(&survey.desired, &survey.observed, super::now());
    let is_as_made = plan.is_as_made();
    let plan = match arguments.plan.until_phase {
        Some(last) => plan.until(last).map_err(|error| no_such_phase(&error))?,
        None => plan,
    };
    let standings = standing(&plan, &survey, &differences);
    stands(&plan, &standings)?;
    let plan = checked(plan, is_as_made, &standings, &survey)?;
    call.show(&plan)?;
    let Standings { visits, made } = standings;
    let visits = visits.into_iter().filter(|(_, standing)| *standing == Standing::Done);
    let done = Done { visits: visits.map(|(number, _)| number).collect(), made };
    if done.visits.len() == plan.visits.len() {
        if !plan.visits.is_empty() {
            output::tell(&format!("Plan {} is done already: nothing was touched.\n", plan.id));
        }
        let exit = call.hand_out(&plan, &done.made.requests);
        return Ok(call.finish(&plan, exit));
    }
    let tied = match arguments.saved.expect_digest {
        Some(_) => Tied::Named,
        None => Tied::Anything { help: "add --expect-digest with the digest of what was reviewed" },
    };
    arguments.consent.ask(&plan, &plan.approval(), tied)?;
    let exit = call.carry_out(&plan, (&mut nodes, &survey.desired), &cluster.reference, done);
    Ok(call.finish(&plan, exit))
}

/// The cluster, if the plan is one for it that may still be applied.
fn fitting(plan: &Plan, digest: &Sha256, arguments: &Arguments, global: &Global) -> Result<Cluster, Exit> {
    let mut stale: Vec<String> = Vec::new();
    if let Some(expected) = &arguments.saved.expect_digest
        && expected != digest
    {
        stale.push(format!("the plan has the digest sha256:{digest}, and sha256:{expected} was approved"));
    }
    let now = super::now();
    if plan.expires < now {
        stale.push(format!("it was good until {}, now it is {}", instant(plan.expires), instant(now)));
    }
    let mut clusters = arguments.plan.load_for(&plan.spec.file, &plan.skipped, global)?;
    clusters.retain(|cluster| cluster.spec.metadata.name == plan.cluster);
    let cluster = clusters.pop();
    match &cluster {
        None => {
            output::tell(&format!(
                "error: no spec of the cluster {} was given; name it with -f\n",
                plan.cluster
            ));
            return Err(Exit::Usage);
        }
        Some(cluster) if cluster.reference.sha256 != plan.spec.sha256 => stale.push(format!(
            "{} has changed: the plan was made from sha256:{}, and it has sha256:{} now",
            escaped(&cluster.reference.file),
            plan.spec.sha256.short(),
            cluster.reference.sha256.short()
        )),
        Some(_) => {}
    }
    for reason in &stale {
        output::tell(&format!("error: stale: {reason}\n"));
    }
    if !stale.is_empty() {
        output::tell(
            "  help: make a new plan with `pki plan -o`, and have it reviewed. Nothing was touched.\n",
        );
        return Err(Exit::Stale);
    }
    if !plan.applicable {
        output::tell("error: this plan was made to be looked at, and cannot be applied\n");
        return Err(Exit::Blocked);
    }
    cluster.ok_or(Exit::Usage)
}

/// Refuses a plan that reality has overtaken, with every fact that has.
fn stands(plan: &Plan, standings: &Standings) -> Result<(), Exit> {
    let mut exit = Exit::Done;
    for visit in &plan.visits {
        if let Some(Standing::Unseen { reason }) = standings.visits.get(&visit.number) {
            output::tell(&format!("error: {} cannot be seen: {}\n", visit.node, escaped(reason)));
            exit = exit.max(Exit::Blocked);
        }
    }
    for changed in standings.changed() {
        output::tell(&format!(
            "error: stale: {} {} was {}, is {}\n",
            changed.node,
            escaped(&changed.what),
            changed.was,
            changed.is
        ));
        exit = exit.max(Exit::Stale);
    }
    if exit == Exit::Done {
        return Ok(());
    }
    output::tell("  help: make a new plan with `pki plan -o`. Nothing was touched.\n");
    Err(exit)
}

/// What is left of the plan, simulated on what is there now; and that the plan is the one that was made.
fn checked(mut plan: Plan, is_as_made: bool, standings: &Standings, survey: &Survey) -> Result<Plan, Exit> {
    let mut left = plan.clone();
    let outage_accepted = !plan.accepted_outages.is_empty();
    let processes = Processes { outage_accepted, ..Processes::of(&survey.observed) };
    let open: Vec<u32> = standings.to_do().collect();
    left.visits.retain(|visit| open.contains(&visit.number));
    let made = &standings.made.authorities;
    let checked = simulate_rest(&left, survey, &processes, made).map_err(|counterexample| {
        output::tell(&format!(
            "error: the plan would break something: {counterexample}\n  help: it was changed after it was made, or the cluster was; make a new one. Nothing was touched.\n"
        ));
        Exit::Blocked
    })?;
    if !is_as_made {
        output::tell(
            "error: stale: the plan was changed after it was made: its name no longer fits what it says. Nothing was touched.\n",
        );
        return Err(Exit::Stale);
    }
    if !left.visits.is_empty() {
        plan.checked = Some(checked);
    }
    Ok(plan)
}
