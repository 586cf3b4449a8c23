//! `pki apply PLAN`: what was saved and reviewed, or nothing.
//!
//! What enters is a file that `pki plan -o` has written, or that somebody says it has; what leaves is a run. The file is compared and never carried out: first
//! everything is checked that needs no node, and all of it is told at once: digest, age, the spec. Then the nodes are looked at, and the plan is made again, for the
//! instant at which it was made. What is done already is passed over; what has changed under the plan is named; and only a plan that says the same, or the rest
//! of it, is shown, approved and carried out. Between the yes and the first write this is looked at once more, under the locks.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use pki::apply::{Done, lock};
use pki::desired::Survey;
use pki::diagnostic::{RenderStyle, escaped, render};
use pki::diff::signed::{Signed, check};
use pki::diff::{Differences, diff};
use pki::plan::{Approval, Dates, PlanProgress, Rest, SavedPlan, TransactionProgress};
use pki::simulate::Plan;
use pki::types::format::instant;
use pki::x509::Sha256;

use super::apply::{Arguments, Call, exit_of};
use super::cluster::{Cluster, Compared, no_such_phase};
use super::consent::Tied;
use super::nodes::Hosts;
use super::{Exit, Global, files, terminal, used_plan};

/// What names a saved plan.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SavedArguments {
    /// A plan that `pki plan -o` has written, or `-` for standard input; without one, a plan is made and applied at once
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "replace", "skip_node", "certificates"])]
    pub(super) plan_file: Option<PathBuf>,
    /// Apply the saved plan only if it has this digest, as the approval says. Required with --confirm and --unattended
    #[arg(long, value_name = "sha256:DIGEST", requires = "plan_file", value_parser = digest)]
    pub(super) expect_digest: Option<Sha256>,
    /// Apply a saved plan that is too old, if planning today gives the same actions; what it issues then counts from today
    #[arg(long, requires = "plan_file")]
    replan_if_equal: bool,
}

fn digest(text: &str) -> Result<Sha256, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    hex.parse().map_err(|_| "write sha256: and 64 hexadecimal digits, as `pki plan -o` shows it".to_owned())
}

/// How far the clock of whoever made a plan may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// What an interrupted run of the same plan left open is undone by a first round.
const ROUNDS: usize = 2;

/// A saved plan that fits the spec, with everything that it is made again from.
struct Fitting {
    saved: SavedPlan,
    cluster: Cluster,
    /// The instant for which it is made again.
    at: Timestamp,
    dates: Dates,
}

/// What looking at the nodes gave.
enum Looked {
    /// Something is to do.
    ToDo { survey: Box<Survey>, rest: Rest },
    /// There is nothing to do, or it cannot be done; that was told.
    Ends(Exit),
}

/// Applies a saved plan.
///
/// # Errors
/// The exit code, after everything that speaks against it was told.
pub(super) fn run(path: &Path, call: &Call<'_>) -> Result<Exit, Exit> {
    let arguments = call.arguments;
    let is_bound = arguments.saved.expect_digest.is_some();
    arguments.consent.of_saved(path, is_bound, call.global.quiet)?;
    let (saved, bytes) = files::read_plan(path)?;
    let fitting = fitting(saved, path, &Sha256::of(&bytes), arguments, call.global)?;
    arguments.consent.possible()?;
    let cluster = &fitting.cluster;
    for _ in 0..ROUNDS {
        let mut nodes = cluster.nodes();
        let (survey, rest) = match fitting.look(&nodes, call)? {
            Looked::Ends(exit) => return Ok(exit),
            Looked::ToDo { survey, rest } => (survey, rest),
        };
        let is_undo = matches!(rest, Rest::Undo(_));
        let plan = cluster.simulated(rest.into_draft(), &survey)?;
        call.show(&plan)?;
        if !plan.applicable {
            return Ok(call.finish(&plan, Exit::Blocked));
        }
        if plan.visits.is_empty() {
            let exit = call.hand_out(cluster.as_named(), &plan.waiting, &Default::default());
            return Ok(call.finish(&plan, exit));
        }
        let tied = match is_bound {
            true if plan.visits.len() < fitting.saved.visits().len() => Tied::Rest,
            true => Tied::Named,
            false => Tied::Anything { help: "add --expect-digest with the digest of what was reviewed" },
        };
        let approval = plan.approval();
        arguments.consent.ask(&plan, &approval, tied)?;
        let approved = Approved { plan, approval, is_undo };
        let exit = fitting.carry_out(approved, (&mut nodes, &survey), call)?;
        if let Some(exit) = exit {
            return Ok(exit);
        }
    }
    terminal::tell("error: what an interrupted run left is undone, and is there again\n");
    Err(Exit::Partial)
}

/// What somebody said yes to.
struct Approved {
    plan: Plan,
    approval: Approval,
    is_undo: bool,
}

/// The plan with the cluster that it is for, if nothing speaks against applying it that can be seen without a node.
fn fitting(
    saved: SavedPlan,
    path: &Path,
    digest: &Sha256,
    arguments: &Arguments,
    global: &Global,
) -> Result<Fitting, Exit> {
    let mut stale: Vec<String> = Vec::new();
    if let Some(expected) = &arguments.saved.expect_digest
        && expected != digest
    {
        stale.push(format!("the plan has the digest sha256:{digest}, and sha256:{expected} was approved"));
    }
    let now = super::now();
    let (mut at, mut dates) = (saved.created(), Dates::Equal);
    if saved.created() > now.saturating_add(AHEAD).unwrap_or(now) {
        let created = instant(saved.created());
        stale.push(format!("it was made at {created}, which has not come yet: now it is {}", instant(now)));
    } else if saved.expires() < now {
        if arguments.saved.replan_if_equal {
            // Certificates count in whole seconds.
            (at, dates) = (Timestamp::from_second(now.as_second()).unwrap_or(now), Dates::Later);
        } else {
            stale.push(format!(
                "it expired {}, now it is {}; make it again, or `pki apply {} --replan-if-equal`",
                instant(saved.expires()),
                instant(now),
                files::pasted(path)
            ));
        }
    }
    if saved.choices().is_none() {
        stale.push(format!(
            "it was made by {}, which did not record what making it again needs; it can be shown, and not be applied",
            escaped(saved.tool())
        ));
    }
    let clusters = arguments.plan.load_for(&saved, is_outside(&saved, arguments), global)?;
    let mut clusters = clusters.into_iter();
    let Some(cluster) = clusters.find(|cluster| cluster.spec.metadata.name == *saved.cluster()) else {
        terminal::tell(&format!(
            "error: no spec of the cluster {} was given; name it with -f\n",
            saved.cluster()
        ));
        return Err(Exit::Usage);
    };
    stale.extend(of_spec(&saved, &cluster));
    for reason in &stale {
        terminal::tell(&format!("error: stale: {reason}\n"));
    }
    if !stale.is_empty() {
        terminal::tell(
            "  help: make a new plan with `pki plan -o`, and have it reviewed. Nothing was touched.\n",
        );
        return Err(Exit::Stale);
    }
    if !saved.is_applicable() {
        terminal::tell("error: this plan was made to be looked at, and cannot be applied\n");
        return Err(Exit::Blocked);
    }
    let saved = match arguments.plan.until_phase {
        Some(last) => saved.until(last).map_err(|error| no_such_phase(&error))?,
        None => saved,
    };
    Ok(Fitting { saved, cluster, at, dates })
}

/// Whether only the file says which spec is meant, and that lies elsewhere: whoever wrote the file could have written that one too.
fn is_outside(saved: &SavedPlan, arguments: &Arguments) -> bool {
    let leads_out = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
    arguments.saved.expect_digest.is_none()
        && arguments.consent.is_unasked()
        && Path::new(&saved.spec().file).components().any(leads_out)
}

/// What of the spec is another one now.
fn of_spec(saved: &SavedPlan, cluster: &Cluster) -> Vec<String> {
    let mut stale = Vec::new();
    let (then, now) = (saved.spec(), &cluster.reference);
    if now.sha256 != then.sha256 {
        stale.push(format!(
            "{} has changed: the plan was made from sha256:{}, and it has sha256:{} now",
            escaped(&now.file),
            then.sha256.short(),
            now.sha256.short()
        ));
    } else if saved.profile() != cluster.spec.spec.profile {
        stale.push(format!("{} has another profile than the plan", escaped(&now.file)));
    }
    let words = |digest: Option<&Sha256>| {
        digest.map_or("not there".to_owned(), |one| format!("sha256:{}", one.short()))
    };
    let names: BTreeSet<&String> = then.files.keys().chain(now.files.keys()).collect();
    for name in names {
        let (then, now) = (then.files.get(name), now.files.get(name));
        if then != now {
            stale.push(format!(
                "{}, which the spec names, has changed: it was {}, is {}",
                escaped(name),
                words(then),
                words(now)
            ));
        }
    }
    stale
}

impl Fitting {
    /// Looks at the nodes and makes the plan again.
    fn look(&self, nodes: &Hosts, call: &Call<'_>) -> Result<Looked, Exit> {
        let (saved, cluster) = (&self.saved, &self.cluster);
        let survey = cluster.survey(nodes)?;
        let differences = diff(&survey.desired, &survey.observed, super::now());
        let mut standings = saved.standing(&survey, &differences);
        let kept = used_plan::kept(nodes, &survey);
        used_plan::settle(saved, &mut standings, &kept, &survey, &differences)?;
        let signed = self.signed(&standings, (&survey, &differences), call.global)?;
        let options = saved.options_again(&standings);
        stands(saved, &standings)?;
        let made = cluster.draft(&Compared::at(&survey, self.at), &options, &signed)?;
        if saved.is_done(&standings, &made) {
            used_plan::tell_done(saved, &kept);
            let exit = call.hand_out(cluster.as_named(), made.waiting(), &standings.made.requests);
            return Ok(Looked::Ends(call.finish_unused(saved, exit)));
        }
        if !made.is_applicable() {
            for blocked in made.blocked() {
                let because = escaped(&blocked.because);
                terminal::tell(&format!("error: {}: {because}\n", blocked.address));
            }
            terminal::tell("  help: as the nodes are now, this cannot be planned. Nothing was touched.\n");
            return Err(Exit::Blocked);
        }
        let rest = saved.rest(&standings, made, &survey.desired, self.dates).map_err(|difference| {
            terminal::tell(&format!(
                "error: stale: {difference}\n  help: the plan, the spec or the nodes were changed since it was made; make a new plan with `pki plan -o`. Nothing was touched.\n"
            ));
            Exit::Stale
        })?;
        Ok(Looked::ToDo { survey: Box::new(survey), rest })
    }

    /// The certificates that came with `--certificates` when the plan was made and are not installed yet, judged again.
    fn signed(
        &self,
        standings: &PlanProgress,
        (survey, differences): (&Survey, &Differences),
        global: &Global,
    ) -> Result<Signed, Exit> {
        let found = self.saved.brought(standings);
        if found.is_empty() {
            return Ok(Signed::default());
        }
        check(&found, survey, differences, self.at).map_err(|problems| {
            let style = terminal::stderr_style(global.color);
            let style = RenderStyle { color: style.color, ..RenderStyle::PLAIN };
            terminal::tell(&render(&problems, &[], style));
            terminal::tell("error: stale: the certificates in the plan are not what the nodes asked for. Nothing was touched.\n");
            Exit::Stale
        })
    }

    /// Locks the nodes, looks at them once more, and does what was approved. None when that was the undo of what an interrupted run left.
    fn carry_out(
        &self,
        approved: Approved,
        (nodes, survey): (&mut Hosts, &Survey),
        call: &Call<'_>,
    ) -> Result<Option<Exit>, Exit> {
        let locking = call.locking();
        let locked = lock(&approved.plan, nodes, &survey.desired, &locking, &AtomicBool::new(false));
        locked.map_err(|failure| {
            terminal::tell(&format!(
                "error: {}: {}. Nothing was touched.\n",
                failure.place,
                escaped(&failure.because)
            ));
            exit_of(pki::plan::model::outcome::Outcome::of_refusal(&failure))
        })?;
        let (survey, rest) = match self.look(nodes, call)? {
            Looked::Ends(exit) => return Ok(Some(exit)),
            Looked::ToDo { survey, rest } => (survey, rest),
        };
        let is_undo = matches!(rest, Rest::Undo(_));
        let plan = self.cluster.simulated(rest.into_draft(), &survey)?;
        if !plan.applicable || plan.approval() != approved.approval || is_undo != approved.is_undo {
            terminal::tell(
                "error: stale: the nodes have changed since the plan was approved. Nothing was touched.\n",
            );
            return Err(Exit::Stale);
        }
        let reference = &self.cluster.reference;
        if is_undo {
            let exit = call.carry_out(&plan, (nodes, &survey.desired), reference, Done::default());
            return Ok((exit != Exit::Done).then(|| call.finish(&plan, exit)));
        }
        let passed = self.saved.passed(&plan);
        let done = Done { visits: passed.iter().map(|visit| visit.number).collect(), ..Done::default() };
        let whole = plan.passing_over(&passed);
        let exit = call.carry_out(&whole, (nodes, &survey.desired), reference, done);
        Ok(Some(call.finish(&whole, exit)))
    }
}

/// Refuses a plan that reality has overtaken, with every fact that has.
fn stands(saved: &SavedPlan, standings: &PlanProgress) -> Result<(), Exit> {
    let mut exit = Exit::Done;
    for visit in saved.visits() {
        if let Some(TransactionProgress::Unseen { reason }) = standings.visits.get(&visit.number) {
            terminal::tell(&format!("error: {} cannot be seen: {}\n", visit.place, escaped(reason)));
            exit = exit.max(Exit::Blocked);
        }
    }
    for changed in standings.changed() {
        terminal::tell(&format!(
            "error: stale: {} {} was {}, is {}\n",
            changed.place,
            escaped(&changed.what),
            changed.was,
            changed.is
        ));
        exit = exit.max(Exit::Stale);
    }
    if exit == Exit::Done {
        return Ok(());
    }
    terminal::tell("  help: make a new plan with `pki plan -o`. Nothing was touched.\n");
    Err(exit)
}
