//! Where random tests take their cases from: always the same ones, unless somebody asks for others.
//!
//! A random test that draws anew on every run is red for nobody in particular, and its case is gone. So each starts from one fixed seed;
//! `PKI_SEED=fresh` draws another, `PKI_SEED=NUMBER` takes that one, and `PKI_PROPERTY_FACTOR=20` makes twenty times as many cases. A test
//! that fails prints the command that makes the same cases again. What such a run finds is kept as a test with a name.
//!
//! The tests of the library use this file too.

use std::sync::{LazyLock, Once};

use proptest::test_runner::{Config, RngSeed};

/// The seed of every run that asks for no other.
const USUAL: u64 = 20_261_130;

/// The seed of this run: the same for all its tests, so that one number repeats all of them.
static SEED: LazyLock<u64> = LazyLock::new(|| match variable("PKI_SEED").as_deref() {
    None => USUAL,
    Some("fresh") => {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        now.as_secs().wrapping_mul(1_000_003) ^ u64::from(now.subsec_nanos())
    }
    Some(number) => {
        let seed = number.parse();
        assert!(seed.is_ok(), "PKI_SEED is `fresh` or a number, not {number}");
        seed.unwrap_or(USUAL)
    }
});

/// What random tests run with: so many cases, or as many times more as `PKI_PROPERTY_FACTOR` says.
pub(crate) fn cases(usual: u32) -> Config {
    static HOOK: Once = Once::new();
    HOOK.call_once(say_how_to_repeat);
    Config {
        cases: usual.saturating_mul(factor()),
        rng_seed: RngSeed::Fixed(*SEED),
        // A file of seeds beside the sources would be one more place to look; finds are tests with names.
        failure_persistence: None,
        // Cases that are thrown away are part of the same sequence: they may grow with it.
        max_global_rejects: 1024 * factor(),
        ..Config::default()
    }
}

/// The seed as a number, for tests that draw by themselves.
pub(crate) fn number() -> u64 {
    *SEED
}

fn factor() -> u32 {
    let Some(text) = variable("PKI_PROPERTY_FACTOR") else { return 1 };
    let factor = text.parse();
    assert!(factor.is_ok(), "PKI_PROPERTY_FACTOR is a whole number, not {text}");
    factor.unwrap_or(1)
}

/// The command that makes the cases of a test again.
fn repeat(test: &str) -> String {
    let factor = match factor() {
        1 => String::new(),
        factor => format!(" PKI_PROPERTY_FACTOR={factor}"),
    };
    let target = if module_path!().starts_with("it") { "--test it" } else { "--lib" };
    format!("PKI_SEED={}{factor} cargo test --locked {target} -- --exact {test}", number())
}

/// The last panic of a random test, behind those of its cases and of ever smaller ones, is followed by the command that repeats it.
fn say_how_to_repeat() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let is_last = panic
            .payload_as_str()
            .is_some_and(|text| text.starts_with("Test failed: ") || text.starts_with("Test aborted: "));
        if is_last {
            // Of a single thread the harness does not say the test's name.
            let thread = std::thread::current();
            let test = thread.name().filter(|name| *name != "main").unwrap_or("NAME-OF-THE-TEST");
            say(&format!("the same cases again: {}\n", repeat(test)));
        }
    }));
}

#[expect(clippy::print_stderr, reason = "what a test prints is shown where it fails")]
fn say(text: &str) {
    eprint!("{text}");
}

#[expect(clippy::disallowed_methods, reason = "a person may ask for other cases, or for more")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A random test in a process of its own, so that its failure can be looked at: it fails for about one number in a hundred.
#[test]
fn a_failure_says_the_command_that_repeats_it_and_that_repeats_it() {
    let of_child = variable("PKI_SEED_OF_CHILD");
    if of_child.is_some() {
        let mut runner = proptest::test_runner::TestRunner::new(cases(200));
        let outcome = runner.run(&(0..10_000_u32), |number| {
            proptest::prop_assert!(number % 100 != 7, "found {number}");
            Ok(())
        });
        if let Err(found) = outcome {
            panic!("Test failed: {found}");
        }
        return;
    }
    let seeds: Vec<String> = ["1", "fresh"].iter().map(|seed| fails_with(seed)).collect();
    for (seed, said) in seeds.iter().map(|said| (seed_in(said), said)) {
        let found = |text: &str| {
            text.lines().filter(|line| line.contains("found ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found(&fails_with(&seed)), found(said), "the command repeats another case");
    }
}

/// What the random test above prints when it starts from a seed and fails.
#[expect(clippy::disallowed_methods, reason = "starts this test program again")]
fn fails_with(seed: &str) -> String {
    let name = format!("{}::a_failure_says_the_command_that_repeats_it_and_that_repeats_it", module_path!());
    let name = name.split_once("::").unwrap().1.to_owned();
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new(program)
        .args(["--exact", &name, "--nocapture", "--test-threads", "2"])
        .envs([("PKI_SEED_OF_CHILD", "1"), ("PKI_SEED", seed), ("PKI_PROPERTY_FACTOR", "3")])
        .output()
        .unwrap();
    assert!(!child.status.success(), "600 numbers of 10,000, and none of those in a hundred");
    let said = String::from_utf8(child.stderr).unwrap();
    let command = said.lines().find(|line| line.starts_with("the same cases again: ")).unwrap_or(&said);
    assert!(command.contains(" PKI_PROPERTY_FACTOR=3 cargo test --locked "), "{command}");
    assert!(command.ends_with(&format!(" -- --exact {name}")), "{command}");
    said
}

fn seed_in(said: &str) -> String {
    let command = said.lines().find(|line| line.starts_with("the same cases again: ")).unwrap();
    command.split_whitespace().find_map(|word| word.strip_prefix("PKI_SEED=")).unwrap().to_owned()
}
