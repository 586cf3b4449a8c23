//! The CA of a running etcd is replaced under a writer: in one run with a look at every barrier, interrupted at every visit, and taken back from every barrier.

use crate::nodes::{DEADLINE, within};
use crate::replacement::{Ca, Replacement, held, hold_at, listing, told};
use crate::tap::Tap;

#[test]
fn one_run_replaces_the_ca_and_every_barrier_is_what_it_promises() {
    let replacement = Replacement::of_plain_etcd();
    let text = replacement.goes_through_its_barriers();
    assert!(text.contains("etcd 2 of 3 at least"), "{text}");
    // There is no way back from here.
    let output = replacement.cluster.controller.pki(&["rollback", "-f", "spec.yaml", "--yes"]);
    let text = crate::both(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no way back to a dropped CA"), "{text}");
    replacement.cluster.is_left_clean();
}

#[test]
fn it_is_taken_back_from_each_barrier_before_the_old_one_is_dropped() {
    let replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    let before: Vec<String> = cluster.nodes.iter().map(|node| listing(node, "etc/etcd/pki")).collect();
    cluster.write_and_count();
    for visit in [5, 8, 11, 14, 17] {
        hold_at(&taps, visit);
        let apply = replacement.approved();
        let mut run = cluster.controller.start(&apply.iter().map(String::as_str).collect::<Vec<_>>());
        let tap = held(&taps, &mut run);
        run.kill();
        tap.go_on();
        taps.iter().for_each(|tap| tap.order(""));
        // What the node undoes by itself is undone before anything else.
        let saved = std::fs::read_to_string(cluster.controller.at("plan.json")).unwrap();
        let id = saved.split("\"id\":").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap();
        // What clients show is put back in two files, one after the other, which a way back calls an interruption.
        let back = ["rollback", id, "-f", "spec.yaml", "--yes", "--lock-timeout", "1m"];
        let named = [&back[..], &["--confirm", "etcd-1/rollback"]].concat();
        let mut said = String::new();
        let is_back = within(DEADLINE, || {
            let mut output = cluster.controller.pki(&back);
            if output.status.code() == Some(6) {
                output = cluster.controller.pki(&named);
            }
            said = crate::both(&output);
            output.status.success()
        });
        assert!(is_back, "before visit {visit}: {said}");
        let after: Vec<String> = cluster.nodes.iter().map(|node| listing(node, "etc/etcd/pki")).collect();
        assert_eq!(after, before, "back from before visit {visit}");
        cluster.is_healthy();
        replacement.all_take(Ca::Old, true, "taken back");
        told(&format!("taken back from before visit {visit}\n"));
    }
    cluster.everything_written_is_there();
    cluster.is_left_clean();
}

#[test]
fn killed_at_each_visit_it_goes_on_where_it_stands() {
    let replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    cluster.write_and_count();
    let mut killed = 0;
    // The first visit of a run is kept, and it is killed in the second one: so each visit is killed once, and then made.
    for round in 0..40 {
        taps.iter().for_each(|tap| tap.order(""));
        let apply = replacement.approved();
        let text = std::fs::read_to_string(cluster.controller.at("plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let visits = plan["visits"].as_array().or(plan["plan"]["visits"].as_array()).unwrap();
        if visits.is_empty() {
            break;
        }
        // One that saves etcd's data before it is none of those that can be killed half done.
        let saves = usize::from(visits[0]["phase"] == "etcd-snapshot");
        let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
        if visits.len() == 1 + saves {
            cluster.controller.ends(0, &apply);
            continue;
        }
        let kills_node = round % 2 == 0;
        let how = if kills_node { "kill-at" } else { "hold-at" };
        taps.iter().for_each(|tap| tap.order(&format!("{how} \"visit\":{}}}", 2 + saves)));
        let mut run = cluster.controller.start(&apply);
        if kills_node {
            let output = cluster.controller.ended(run);
            assert_ne!(output.status.code(), Some(0), "round {round}: {output:?}");
        } else {
            held(&taps, &mut run);
            run.kill();
            taps.iter().for_each(Tap::go_on);
        }
        killed += 1;
        cluster.is_healthy();
    }
    told(&format!("killed {killed} times\n"));
    assert!(killed >= 16, "{killed}");
    replacement.the_old_one_is_nowhere();
    cluster.everything_written_is_there();
    assert!(cluster.fewest_healthy() >= 2);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}
