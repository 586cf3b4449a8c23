//! What the simulation of a plan says: that it breaks nothing, what it interrupts on purpose, or a counterexample.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::names::{Address, NodeName, ServiceName};

/// A plan that breaks nothing without saying so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// How many connections are known to work before the plan, each of which was verified after every step.
    pub connections: usize,
    /// Whether there were too many connections to look at any.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_many: bool,
    /// How many processes the nodes told of. Where there are none, nothing that runs was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<usize>,
    /// Services with several instances on which a cluster stands: the members of etcd and the API servers.
    pub least: Vec<Least>,
    /// What the plan interrupts, as it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interruptions: Vec<Interruption>,
    /// What would not work if the changes on a node had to be undone, although every step of the plan is in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_undone: Vec<UndoRisk>,
}

/// How many instances of a service work at the worst moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Least {
    /// The service.
    pub service: ServiceName,
    /// How many instances there are.
    pub of: usize,
    /// How many are known to work before the plan.
    pub before: usize,
    /// How many work at the worst moment, those that are being restarted not counted.
    pub least: usize,
}

/// Something that a plan interrupts and that cannot be had otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Interruption {
    /// Too few instances are left while one is restarted.
    Restart {
        /// The service.
        service: ServiceName,
        /// The node of the instance.
        node: NodeName,
        /// The action that restarts it.
        step: u32,
        /// How many instances there are.
        of: usize,
        /// Whether that was accepted; otherwise there are too few instances for anything else.
        accepted: bool,
    },
    /// A connection does not work for a time, in an outage that was accepted.
    Outage {
        /// The connection.
        connection: String,
        /// The action from which on it does not.
        step: u32,
        /// Why.
        reason: String,
        /// The action that mends it; none on a way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u32>,
    },
    /// A connection does not work until a person has restarted services, as the plan says.
    UntilRestarted {
        /// The connection.
        connection: String,
        /// The action from which on it does not.
        step: u32,
        /// Why.
        reason: String,
        /// What has to be restarted, as `SERVICE@NODE`.
        restart: Vec<String>,
    },
    /// A way back leads through, or to, where a connection does not work.
    Breaks {
        /// The connection.
        connection: String,
        /// The action from which on it does not.
        step: u32,
        /// Why.
        reason: String,
        /// When it works again, in words.
        heals: String,
    },
    /// A way back leaves too few instances of a service.
    TooFew {
        /// The service.
        service: ServiceName,
        /// The action that does.
        step: u32,
        /// How many are left.
        left: usize,
        /// How many there are.
        of: usize,
        /// How many are needed.
        needed: usize,
    },
}

impl Interruption {
    /// The same as what a rollback does, which was asked for.
    pub(crate) fn of(fault: Counterexample) -> Self {
        match fault {
            Counterexample::Broken { when, connection, reason, heals } => {
                Self::Breaks { connection, step: when.step(), reason, heals: heals.to_string() }
            }
            Counterexample::Trust { when, node, path, fault } => {
                let (connection, reason) = (format!("{path} on {node}"), format!("it is left {fault}"));
                Self::Breaks { connection, step: when.step(), reason, heals: Heals::Never.to_string() }
            }
            Counterexample::Refused { when, address, reason } => Self::Breaks {
                connection: address.to_string(),
                step: when.step(),
                reason: format!("the step cannot be done: {reason}"),
                heals: Heals::Never.to_string(),
            },
            Counterexample::TooFew { when, service, left, of, needed } => {
                Self::TooFew { service, step: when.step(), left, of, needed }
            }
        }
    }

    /// Whether something does not work that worked, and that no restart alone explains.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Breaks { .. } | Self::TooFew { .. } => true,
            Self::Restart { .. } | Self::UntilRestarted { .. } | Self::Outage { .. } => false,
        }
    }
}

/// Something that would not work if a node undid its changes, as it does where a step or a health check fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum UndoRisk {
    /// A connection does not work.
    Breaks {
        /// The node that undoes its changes.
        node: NodeName,
        /// The last action that was done before.
        step: u32,
        /// The connection.
        connection: String,
        /// Why.
        reason: String,
        /// Whether it works again when the undo has ended.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        passing: bool,
        /// Whether it would not work without the plan either, as soon as what is on this node's disk is read again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        also_without_plan: bool,
    },
    /// Too few instances of a service are left while one is restarted.
    TooFew {
        /// The node that undoes its changes.
        node: NodeName,
        /// The last action that was done before.
        step: u32,
        /// The service.
        service: ServiceName,
        /// How many are left.
        left: usize,
        /// How many there are.
        of: usize,
        /// How many are needed.
        needed: usize,
    },
}

impl UndoRisk {
    /// What only undoing a node's changes breaks; nothing where a step breaks it, or leaves it wrong.
    pub(crate) fn of(fault: &Counterexample, node: &NodeName, also_without_plan: bool) -> Option<Self> {
        let When::WayBack(step) = fault.when() else { return None };
        let node = node.clone();
        match fault {
            Counterexample::Broken { connection, reason, heals, .. } => {
                let passing = match heals {
                    Heals::Step(_) => true,
                    // By these it is said how the plan's end is mended, to which an undo does not lead.
                    Heals::Restart(_) | Heals::Never => false,
                };
                let (connection, reason) = (connection.clone(), reason.clone());
                Some(Self::Breaks { node, step, connection, reason, passing, also_without_plan })
            }
            Counterexample::TooFew { service, left, of, needed, .. } => {
                let (service, left, of, needed) = (service.clone(), *left, *of, *needed);
                Some(Self::TooFew { node, step, service, left, of, needed })
            }
            // Both are judged after steps only.
            Counterexample::Trust { .. } | Counterexample::Refused { .. } => None,
        }
    }

    /// What breaks: a connection, or a service.
    pub fn what(&self) -> &str {
        match self {
            Self::Breaks { connection, .. } => connection,
            Self::TooFew { service, .. } => service.as_str(),
        }
    }

    /// The node that undoes its changes.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Breaks { node, .. } | Self::TooFew { node, .. } => node,
        }
    }

    /// Whether it comes from what is on the node's disk already, and not from the plan.
    pub fn is_also_without_plan(&self) -> bool {
        match self {
            Self::Breaks { also_without_plan, .. } => *also_without_plan,
            // It takes the restart of an instance, and that is part of the undo.
            Self::TooFew { .. } => false,
        }
    }
}

/// A plan that breaks something without saying so: a fault of the planner, never of the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Counterexample {
    /// A connection that worked stops working.
    #[error("the plan is wrong, so it is not shown: {when} breaks {connection}: {reason}; {heals}")]
    Broken {
        /// When.
        when: When,
        /// The connection.
        connection: String,
        /// Why it does not work.
        reason: String,
        /// When it works again.
        heals: Heals,
    },
    /// A trust file does not hold what its readers need.
    #[error("the plan is wrong, so it is not shown: {when} leaves {path} on {node} {fault}")]
    Trust {
        /// When.
        when: When,
        /// The node.
        node: NodeName,
        /// The file.
        path: String,
        /// How it is left.
        fault: String,
    },
    /// A node would refuse a step, as what is known of it shows already.
    #[error("the plan is wrong, so it is not shown: {when} cannot be done: {reason}")]
    Refused {
        /// When.
        when: When,
        /// What the step is about.
        address: Address,
        /// What the node would say.
        reason: String,
    },
    /// Too few instances of a service are left.
    #[error(
        "the plan is wrong, so it is not shown: {when} leaves {left} of {of} {service}, and {needed} are needed"
    )]
    TooFew {
        /// When.
        when: When,
        /// The service.
        service: ServiceName,
        /// How many are left.
        left: usize,
        /// How many there are.
        of: usize,
        /// How many are needed.
        needed: usize,
    },
}

impl Counterexample {
    /// When it shows.
    pub fn when(&self) -> When {
        match self {
            Self::Broken { when, .. }
            | Self::Trust { when, .. }
            | Self::Refused { when, .. }
            | Self::TooFew { when, .. } => *when,
        }
    }

    /// What breaks: a connection, a service, a file, or the step itself.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Broken { connection, .. } => connection.clone(),
            Self::TooFew { service, .. } => service.to_string(),
            Self::Trust { node, path, .. } => format!("{path} on {node}"),
            Self::Refused { when, .. } => when.to_string(),
        }
    }
}

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// When this action is done.
    Step(u32),
    /// When the visit with this action is undone after it.
    WayBack(u32),
}

impl When {
    /// The number of the action.
    pub fn step(self) -> u32 {
        match self {
            Self::Step(step) | Self::WayBack(step) => step,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "step {step}"),
            Self::WayBack(step) => write!(f, "the way back from the visit with step {step}"),
        }
    }
}

/// When a broken connection works again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heals {
    /// When this action is done.
    Step(u32),
    /// When these are restarted, which the plan does not do.
    Restart(Vec<String>),
    /// Not by this plan.
    Never,
}

impl fmt::Display for Heals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "step {step} mends it"),
            Self::Restart(services) => {
                write!(f, "it works again once {} is restarted", services.join(" and "))
            }
            Self::Never => f.write_str("nothing in the plan mends it"),
        }
    }
}
