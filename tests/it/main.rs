//! Tests of the library and the program from outside, against real files and other implementations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod adopt;
mod as_declared;
mod ci_examples;
mod cli;
mod cluster;
mod directories;
mod dumps;
mod etcd_snapshots;
mod every_layout;
mod examples;
mod external;
mod failures;
mod foreseen;
mod forged_plans;
mod forms;
mod hostile_user;
mod issuing;
mod key_and_pem_shapes;
mod kubeconfigs;
mod late_failures;
mod layers;
mod layouts;
mod listing;
mod log_processors;
mod made;
mod members;
mod mutations;
mod named_trust;
mod observe;
mod odd_cas;
mod openssl;
mod own_root;
mod paths;
mod phases;
mod pipelines;
mod privileges;
mod promises;
mod properties;
mod quickstart;
mod recovery;
mod remote;
mod renewal;
mod reviews;
mod rotations;
mod rotations_of_ack;
mod saved;
mod scenarios;
mod schema;
mod secrets;
mod seeds;
mod shared;
mod silence;
mod specs;
mod status;
mod strangers;
mod tidy;
mod traces;
mod views;
mod walk;
mod whose_word;
