//! `pki status` as text: a table of certificates, a table of CAs, then the findings in words.

use std::collections::BTreeMap;

use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use jiff::Timestamp;

use super::wrap::wrapped;
use crate::diagnostic::escaped;
use crate::diff::{Effect, Reason};
use crate::output::status_report::{
    AlarmState, CertificateFields, FailedRenewal, FindingStatus, InterruptedRun, NotInUse, PhaseStatus,
    Status, residual,
};
use crate::types::format::{in_utc, instant};
use crate::types::names::NodeName;
use crate::x509::Sha256;

/// How the text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusStyle {
    /// Whether ANSI colours are used. They never carry meaning alone.
    pub color: bool,
    /// Whether lines are drawn with characters outside ASCII.
    pub unicode: bool,
}

/// The report as text. `place` says where in the spec a path such as `spec.defaults.renewBefore` is written, if it is.
pub fn status(status: &Status, style: StatusStyle, place: Place<'_>) -> String {
    let mut text = head(status);
    let mut certificates = table(style);
    certificates.set_header(header(
        ["CERTIFICATE", "NODE", "EXPIRES (UTC)", "LEFT", "AUTHORITY", "EXTERNAL", "FINDINGS"],
        style,
    ));
    for row in &status.certificates {
        let authority = row.authority.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (expires, residual) = dates(row.certificate.as_ref(), status.as_of);
        certificates.add_row(vec![
            Cell::new(&row.name),
            Cell::new(row.node.as_str()),
            Cell::new(expires),
            Cell::new(residual),
            Cell::new(authority),
            Cell::new(yes_or_no(row.externally_managed)),
            counts(&row.findings, style),
        ]);
    }
    let mut authorities = table(style);
    authorities.set_header(header(
        ["AUTHORITY", "NODES", "EXPIRES (UTC)", "LEFT", "SHA-256", "EXTERNAL", "FINDINGS"],
        style,
    ));
    for row in &status.certificate_authorities {
        let (expires, residual) = dates(row.certificate.as_ref(), status.as_of);
        let nodes = row.nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(", ");
        let fingerprint = row.certificate.as_ref().map_or_else(|| "-".to_owned(), |c| c.fingerprint.short());
        authorities.add_row(vec![
            Cell::new(if row.successor { format!("{} (successor)", row.name) } else { row.name.to_string() }),
            Cell::new(nodes),
            Cell::new(expires),
            Cell::new(residual),
            Cell::new(fingerprint),
            Cell::new(yes_or_no(row.externally_managed)),
            counts(&row.findings, style),
        ]);
    }
    for mut table in [certificates, authorities, unmanaged(status, style)] {
        if table.row_count() > 0 {
            text.push('\n');
            text.push_str(&lines(&mut table));
        }
    }
    text.push_str(&wrapped(&replacements(status)));
    text.push_str(&wrapped(&alarms(status, place)));
    text.push_str(&wrapped(&findings(status, place)));
    text.push_str(&last_line(status));
    text
}

/// What no plan renews; an empty table where nothing of the kind was seen.
fn unmanaged(status: &Status, style: StatusStyle) -> Table {
    let mut table = table(style);
    table.set_header(header(["NOT MANAGED", "NODE", "EXPIRES (UTC)", "LEFT", "SEEN AT"], style));
    for row in &status.unmanaged {
        let (expires, residual) = dates(Some(&row.certificate), status.as_of);
        let name = row.address.rsplit_once('@').map_or(row.address.as_str(), |(name, _)| name);
        table.add_row(vec![
            Cell::new(name),
            Cell::new(row.node.as_str()),
            Cell::new(expires),
            Cell::new(residual),
            Cell::new(row.seen_at.join(", ")),
        ]);
    }
    table
}

/// Which CAs are being replaced, how far that is, and what continues it.
fn replacements(status: &Status) -> String {
    let mut text = String::new();
    for rotation in &status.rotations {
        let leaving: Vec<String> = rotation.leaving.iter().map(Sha256::short).collect();
        let successor = &rotation.successor;
        text.push_str(&format!(
            "\nReplacement under way\n  ca/{}  {} is being replaced by {}, which ends {}\n",
            rotation.authority,
            leaving.join(", "),
            successor.fingerprint.short(),
            instant(successor.expires)
        ));
        for PhaseStatus { phase, done, left } in &rotation.phases {
            let how_far = match (done.as_slice(), left.as_slice()) {
                (_, []) => "done".to_owned(),
                ([], _) => "not started".to_owned(),
                (done, left) => format!("done on {}; not on {}", names(done), names(left)),
            };
            text.push_str(&format!("    {:<10}  {how_far}\n", phase.name()));
        }
        text.push_str("    `pki plan` shows what is left of it; `pki apply` continues it.\n");
    }
    text
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(", ")
}

fn head(status: &Status) -> String {
    let version = status.kubernetes_version.map(|version| format!(" {version}")).unwrap_or_default();
    format!("{}   profile {}{version}   as of {}\n", status.cluster, status.profile, instant(status.as_of))
}

fn table(style: StatusStyle) -> Table {
    let mut table = Table::new();
    table.load_style(if style.unicode { UTF8_HORIZONTAL_ONLY } else { NOTHING });
    // A row is one line, so that it can be found with grep, however narrow the terminal is.
    table.set_content_arrangement(ContentArrangement::Disabled);
    if style.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn header<const N: usize>(titles: [&str; N], style: StatusStyle) -> Vec<Cell> {
    let cell = |title: &str| {
        let cell = Cell::new(title);
        if style.color { cell.add_attribute(Attribute::Bold) } else { cell }
    };
    titles.into_iter().map(cell).collect()
}

/// The table without the spaces that its last column leaves at the ends of lines.
fn lines(table: &mut Table) -> String {
    // Spaces in front of a cell would be styled with it, and then no longer be at the beginning of the line.
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn dates(certificate: Option<&CertificateFields>, now: Timestamp) -> (String, String) {
    match certificate {
        Some(certificate) => {
            let expires = in_utc(certificate.expires).strftime("%Y-%m-%d %H:%M").to_string();
            (expires, left(certificate.expires, now))
        }
        None => ("-".to_owned(), "-".to_owned()),
    }
}

/// What is left, as kubeadm writes it: years, else days, else hours, else minutes.
pub(super) fn left(end: Timestamp, now: Timestamp) -> String {
    let seconds = residual(end, now).as_secs();
    let Ok(seconds) = u64::try_from(seconds) else { return "expired".to_owned() };
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    match seconds {
        0..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h", seconds / HOUR),
        // The window in which people count days is longer than kubeadm's one year.
        DAY.. if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ => format!("{}y", seconds / YEAR),
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// How many findings of each effect there are; the words stand below the tables.
fn counts(findings: &[FindingStatus], style: StatusStyle) -> Cell {
    let count = |effect: Effect| findings.iter().filter(|status| status.finding.effect == effect).count();
    let effects = [Effect::Blocks, Effect::Unknown, Effect::Due, Effect::Note];
    let parts: Vec<String> = effects
        .into_iter()
        .map(|effect| (effect, count(effect)))
        .filter(|(_, count)| *count > 0)
        .map(|(effect, count)| format!("{} {count}", word(effect)))
        .collect();
    if parts.is_empty() {
        return Cell::new("-");
    }
    let cell = Cell::new(parts.join(", "));
    let color = match findings.iter().map(|status| status.finding.effect).min() {
        Some(Effect::Blocks) => Color::Red,
        Some(Effect::Unknown | Effect::Due) => Color::Yellow,
        Some(Effect::Note) | None => return cell,
    };
    if style.color { cell.fg(color) } else { cell }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Blocks => "blocked",
        Effect::Unknown => "unknown",
        Effect::Due => "due",
        Effect::Note => "note",
    }
}

/// Every alarm in words, what has ended first.
fn alarms(status: &Status, place: Place<'_>) -> String {
    let certificates = status.certificates.iter().filter_map(|row| {
        Some((row.address.clone(), row.alarm.as_ref()?, row.certificate.as_ref()?.expires))
    });
    let authorities = status.certificate_authorities.iter().filter_map(|row| {
        let nodes: Vec<&str> = row.nodes.iter().map(|node| node.as_str()).collect();
        let address = format!("ca/{}@{}", row.name, nodes.join(","));
        Some((address, row.alarm.as_ref()?, row.certificate.as_ref()?.expires))
    });
    let mut grouped = Grouped::default();
    for row in &status.unmanaged {
        let Some(alarm) = &row.alarm else { continue };
        let (end, before) = (row.certificate.expires, alarm.before);
        let message = match alarm.state == AlarmState::Expired {
            true => format!("ended {}; {}", instant(end), escaped(&row.renewal)),
            false => format!(
                "ends {}, {} left; alarm from {before} before the end; {}",
                instant(end),
                left(end, status.as_of),
                escaped(&row.renewal)
            ),
        };
        grouped.add(alarm.state, message, row.address.clone());
    }
    for (address, alarm, end) in certificates.chain(authorities) {
        let from = format!(
            "alarm from {} before the end{}",
            alarm.before,
            decided(alarm.decided_by.as_deref(), place)
        );
        let message = match alarm.state {
            AlarmState::Expired => format!("ended {}; {from}", instant(end)),
            AlarmState::Expiring => {
                format!("ends {}, {} left; {from}", instant(end), left(end, status.as_of))
            }
            AlarmState::NotInUse
            | AlarmState::RenewalFailed
            | AlarmState::Interrupted
            | AlarmState::ForeignCa
            | AlarmState::CannotBeDone => from,
        };
        grouped.add(alarm.state, message, address);
    }
    for row in &status.others {
        for alarm in &row.alarms {
            grouped.add(alarm.state, not_in_use(alarm), row.address.clone());
        }
    }
    for failed in &status.failed_renewals {
        grouped.add(failed.state, failed_renewal(failed), failed.address.clone());
    }
    for run in &status.interrupted {
        grouped.add(run.state, interrupted(run), run.address.clone());
    }
    for (state, finding) in status.alarming() {
        grouped.add(state, alarming(finding), finding.address.clone());
    }
    grouped.text("Alarms", |state| match state {
        AlarmState::Expired => "expired",
        AlarmState::Expiring => "expiring",
        AlarmState::NotInUse => "unused",
        AlarmState::RenewalFailed => "failed",
        AlarmState::Interrupted => "open",
        AlarmState::ForeignCa => "foreign",
        AlarmState::CannotBeDone => "no way",
    })
}

/// With the whole fingerprint, so that it can be named in the spec.
fn alarming(finding: &FindingStatus) -> String {
    if let Reason::BundleHasStray(stray) = &finding.finding.reason {
        return format!("{} [sha256:{}]", finding.message, stray.fingerprint);
    }
    finding.message.clone()
}

/// What is known of a run that nobody ended.
pub(super) fn interrupted(run: &InterruptedRun) -> String {
    format!(
        "run {} of {} was interrupted and is not undone yet ({}); the next apply undoes it first",
        escaped(&run.run),
        instant(run.since),
        escaped(&run.note)
    )
}

pub(super) fn failed_renewal(failed: &FailedRenewal) -> String {
    let end = if failed.undone {
        "was undone on this node, so that what it should have renewed is as before"
    } else {
        "failed on this node, which could not be put back"
    };
    format!("the last run, {} of {}, {end}", escaped(&failed.run), instant(failed.begun_at))
}

/// With both fingerprints whole, so that they can be compared with what other tools show.
pub(super) fn not_in_use(alarm: &NotInUse) -> String {
    let digest = |digest: &Sha256| format!("sha256:{digest}");
    let file = alarm.file.as_ref().map(digest);
    let holds = file.map(|file| format!(", which holds {file}")).unwrap_or_default();
    let path = escaped(&alarm.path);
    match (&alarm.served, &alarm.at) {
        (Some(served), Some(at)) => {
            format!("renewed, not in use: {path}{holds}; {} serves {}", escaped(at), digest(served))
        }
        (Some(served), None) => format!("renewed, not in use: {path}{holds}; {} is served", digest(served)),
        (None, _) => format!("renewed, not in use: {path}{holds}; the process is older than the file"),
    }
}

/// Every finding in words, gravest first; the same words on several nodes are one line.
fn findings(status: &Status, place: Place<'_>) -> String {
    let mut grouped = Grouped::default();
    for status in status.findings() {
        let decided = decided(status.finding.decided_by.as_deref(), place);
        grouped.add(status.finding.effect, format!("{}{decided}", status.message), status.address.clone());
    }
    grouped.text("Findings", word)
}

/// Says where in a spec a path is written.
type Place<'a> = &'a dyn Fn(&[String]) -> Option<String>;

fn decided(by: Option<&[String]>, place: Place<'_>) -> String {
    by.and_then(place).map(|place| format!(" ({})", escaped(&place))).unwrap_or_default()
}

/// What is said of several things in the same words, in the order in which it was first said.
struct Grouped<K> {
    rows: Vec<(K, String, Vec<String>)>,
    known: BTreeMap<(K, String), usize>,
}

impl<K> Default for Grouped<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), known: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Grouped<K> {
    fn add(&mut self, kind: K, message: String, address: String) {
        let position = *self.known.entry((kind, message.clone())).or_insert(self.rows.len());
        match self.rows.get_mut(position) {
            Some((_, _, addresses)) => addresses.push(address),
            None => self.rows.push((kind, message, vec![address])),
        }
    }

    /// The rows below a heading, gravest first; nothing when there are none.
    fn text(mut self, heading: &str, word: fn(K) -> &'static str) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        self.rows.sort_by_key(|(kind, _, _)| *kind);
        let mut text = format!("\n{heading}\n");
        for (kind, message, addresses) in self.rows {
            text.push_str(&format!("  {:<8} {}\n           {message}\n", word(kind), addresses.join(", ")));
        }
        text
    }
}

/// The stable last line: counters in a fixed order.
fn last_line(status: &Status) -> String {
    let count = |effect: Effect| status.findings().filter(|status| status.finding.effect == effect).count();
    let alarms = status.certificates.iter().filter(|row| row.alarm.is_some()).count()
        + status.certificate_authorities.iter().filter(|row| row.alarm.is_some()).count()
        + status.others.iter().map(|row| row.alarms.len()).sum::<usize>()
        + status.unmanaged.iter().filter(|row| row.alarm.is_some()).count()
        + status.failed_renewals.len()
        + status.interrupted.len()
        + status.alarming().count();
    format!(
        "\nStatus: certificates {}, authorities {}, blocked {}, unknown {}, due {}, notes {}, alarms {alarms}.\n",
        status.certificates.len(),
        status.certificate_authorities.len(),
        count(Effect::Blocks),
        count(Effect::Unknown),
        count(Effect::Due),
        count(Effect::Note),
    )
}
