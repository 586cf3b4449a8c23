//! Start in agreement, let a CA of etcd go, look at the plan.

use crate::diff::{Survey, diff};
use crate::plan::{Input, Options, Phase, Plan, SpecReference, plan};
use crate::simulate::{Processes, checked};
use crate::survey::tests::{SPEC, agreement, now};
use crate::x509::Sha256;

fn distrusted() -> Survey {
    let mut survey = agreement();
    let view = crate::diff::authority_views(&survey.desired, &survey.observed);
    let old = view["etcd-ca"].signer().unwrap().fingerprint().to_string();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{old}"), "INC-2291, key exposed".to_owned());
    survey
}

fn plan_of(survey: &Survey) -> Plan {
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec =
        SpecReference { file: "spec.yaml".to_owned(), sha256: Sha256::of(SPEC.as_bytes()), commit: None };
    let options = &Options::default();
    let plan = plan(&Input {
        survey,
        differences: &differences,
        now: now(),
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    });
    checked(plan.unwrap(), survey, &Processes::of(&survey.observed)).unwrap()
}

#[test]
fn a_distrusted_ca_goes_in_phases_each_of_which_is_done_on_all_nodes_first() {
    let plan = plan_of(&distrusted());
    assert!(plan.applicable);
    let phases: Vec<Phase> = plan.phases().map(|(phase, _)| phase).collect();
    let all =
        [Phase::Prepare, Phase::TrustBoth, Phase::Clients, Phase::Peers, Phase::Servers, Phase::DropOld];
    assert_eq!(phases, all);
    assert!(plan.phases().all(|(_, visits)| visits.len() == 3));
}
