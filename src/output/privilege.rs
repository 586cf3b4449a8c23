//! What a reviewer has to see before all else: what a plan gives beyond the layout, and what of the spec it runs as root.

use std::fmt::Write as _;

use super::markdown_parts::code;
use crate::plan::{Approval, PlanContent, RootCommand};

/// The commands of the spec, word for word; nothing where there are none.
pub(super) fn runs_as_root(plan: &PlanContent) -> String {
    let mut text = String::new();
    for command in &plan.runs_as_root {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  Runs as root on {}:\n    {}", on(command), words(command));
    }
    text
}

fn on(command: &RootCommand) -> String {
    command.nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(", ")
}

/// Each word in quotes, so that a reader sees where one ends.
fn words(command: &RootCommand) -> String {
    command.argv.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}

/// The same for a comment, as a block that no reader overlooks, within so many bytes: what does not fit is counted.
pub(super) fn caution(plan: &PlanContent, room: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let (false, Approval::Upper { name, .. }) = (plan.privileges.is_empty(), plan.approval()) {
        lines.push(format!(
            "Gives more than the profile does, so `--yes` is not enough: --confirm {}",
            code(&name)
        ));
        let privileged = plan.privileged().into_iter();
        lines.extend(privileged.map(|(words, on)| format!("- {}: {}", code(&on), code(&words))));
    }
    let commands = plan.runs_as_root.iter();
    lines.extend(
        commands.map(|command| format!("- Runs as root on {}: {}", on(command), code(&words(command)))),
    );
    if lines.is_empty() {
        return String::new();
    }
    let mut text = "> [!CAUTION]\n".to_owned();
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        let line = format!("> {line}\n");
        let cut = format!("> - and {} more, in the plan\n", count - index);
        let is_last = index + 1 == count;
        if text.len() + line.len() + (if is_last { 0 } else { cut.len() }) > room {
            text.push_str(&cut);
            break;
        }
        text.push_str(&line);
    }
    text.push('\n');
    text
}
