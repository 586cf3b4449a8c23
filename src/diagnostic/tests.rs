//! What reports look like, and what they never let through.

use super::*;

const TEXT: &str = "spec:\n  profile: kubeadm\n  validity: 365days # one year\n";

fn source() -> Source {
    Source::new("pki.yaml", TEXT)
}

fn span_of(text: &str, part: &str) -> Span {
    Span { start: text.find(part).unwrap(), length: part.len() }
}

fn problem() -> Diagnostic {
    let place = Place::of("pki.yaml", TEXT, span_of(TEXT, "365days"));
    Diagnostic::new(Code::InvalidDuration, "`365days` is not a duration")
        .at(place, "unknown unit")
        .help("write 365d")
}

fn plain(problems: &[Diagnostic], sources: &[Source]) -> String {
    render(problems, sources, RenderStyle::PLAIN)
}

#[test]
fn a_report_has_code_sentence_place_snippet_and_way_out() {
    let expected = "error[PKI1031]

  x `365days` is not a duration
   ,-[pki.yaml:3:13]
 2 |   profile: kubeadm
 3 |   validity: 365days # one year
   :             ^^^|^^^
   :                `-- unknown unit
   `----
  help: write 365d

1 error. `pki explain PKI1031` says more about a code.
";
    assert_eq!(plain(&[problem()], &[source()]), expected);
}

#[test]
fn without_the_source_the_place_is_still_named() {
    let report = plain(&[problem()], &[]);
    assert!(report.contains("  at pki.yaml:3:13: unknown unit\n"), "{report}");
    assert!(!report.contains("one year"), "{report}");
}

#[test]
fn plain_reports_are_ascii_without_colour() {
    let report = plain(&[problem()], &[source()]);
    assert!(report.is_ascii() && !report.contains('\u{1b}'), "{report:?}");
    let unicode = render(&[problem()], &[source()], RenderStyle { unicode: true, ..RenderStyle::PLAIN });
    assert!(unicode.contains('╭') && !unicode.contains('\u{1b}'), "{unicode}");
    let coloured = render(&[problem()], &[source()], RenderStyle { color: true, ..RenderStyle::PLAIN });
    assert!(coloured.contains("\u{1b}[31m") && !coloured.contains("\u{1b}]8"), "{coloured:?}");
}

#[test]
fn a_narrow_terminal_gets_a_report_too() {
    let report = render(&[problem()], &[source()], RenderStyle { width: 0, ..RenderStyle::PLAIN });
    assert!(report.contains("write 365d"), "{report}");
}

#[test]
fn labels_in_another_file_are_named_in_words() {
    let other = Place::of("other.yaml", "name: x\n", Span { start: 6, length: 1 });
    let report =
        plain(&[problem().at(other, "first here")], &[source(), Source::new("other.yaml", "name: x\n")]);
    assert!(report.contains("  at other.yaml:1:7: first here\n"), "{report}");
}

#[test]
fn no_character_of_a_file_or_name_can_act_on_the_terminal() {
    let text = "a: \"\u{1b}[2J\u{202e}\u{200b}\u{85}\u{e0041}\u{7}\" # \u{2066}\r\nb: x\u{b}y\n";
    let sources = [Source::new("p\u{1b}.yaml", text)];
    let place = Place::of("p\u{1b}.yaml", text, span_of(text, "x\u{b}y"));
    let problem = Diagnostic::new(
        Code::InvalidValue,
        format!("{} is wrong\u{9b}31m", quoted("\u{1b}[31m\nerror: forged")),
    )
    .at(place, "here\u{202e}")
    .help("write \u{1b}]8;;http://x\u{7}");
    for unicode in [false, true] {
        let report =
            render(std::slice::from_ref(&problem), &sources, RenderStyle { unicode, ..RenderStyle::PLAIN });
        let acting: Vec<char> =
            report.chars().filter(|character| *character != '\n' && is_deceiving(*character)).collect();
        assert!(acting.is_empty(), "{acting:?} in {report:?}");
        assert!(!report.lines().any(|line| line.starts_with("error: forged")), "{report}");
        assert!(report.contains(":2:4]"), "the replaced characters moved the place: {report}");
    }
}

#[test]
fn a_line_of_a_megabyte_is_not_repeated() {
    let text = format!("a: {}\n", "x".repeat(1_000_000));
    let place = Place::of("pki.yaml", &text, Span { start: 3, length: 1_000_000 });
    let problem = Diagnostic::new(Code::InvalidValue, quoted(&text)).at(place, "this");
    let report = plain(&[problem], &[Source::new("pki.yaml", text)]);
    assert!(report.len() < 500, "{} bytes", report.len());
    assert!(report.contains("at pki.yaml:1:4: this"), "{report}");
}

#[test]
fn spans_outside_the_text_are_survived() {
    for span in [
        Span { start: 1000, length: 5 },
        Span { start: TEXT.len(), length: 0 },
        Span { start: 0, length: usize::MAX },
    ] {
        let problem = Diagnostic::new(Code::InvalidValue, "x").at(Place::of("pki.yaml", TEXT, span), "y");
        assert!(plain(&[problem], &[source()]).contains("x"));
    }
    let inside = Place::of("u.yaml", "ü: 1", Span { start: 1, length: 1 });
    assert_eq!((inside.line, inside.column), (1, 1));
    let problem = Diagnostic::new(Code::InvalidValue, "x").at(inside, "y");
    assert!(plain(&[problem], &[Source::new("u.yaml", "ü: 1")]).contains("at u.yaml:1:1: y"));
}

#[test]
fn columns_count_characters() {
    let text = "ü: { a: ß, b: x }\n";
    let place = Place::of("u.yaml", text, span_of(text, "x"));
    assert_eq!(place.to_string(), "u.yaml:1:15");
    let problem = Diagnostic::new(Code::InvalidValue, "x").at(place, "y");
    assert!(plain(&[problem], &[Source::new("u.yaml", text)]).contains("[u.yaml:1:15]"));
}

#[test]
fn problems_are_sorted_by_file_and_position_and_told_once() {
    let at = |file: &str, start| {
        Diagnostic::new(Code::InvalidValue, "x").at(Place::of(file, TEXT, Span { start, length: 1 }), "")
    };
    let mut problems =
        vec![at("b", 0), at("a", 9), at("a", 0), at("a", 9), Diagnostic::new(Code::NoCluster, "none")];
    sort(&mut problems);
    let order: Vec<String> = problems
        .iter()
        .map(|problem| problem.place().map_or_else(String::new, ToString::to_string))
        .collect();
    assert_eq!(order, ["", "a:1:1", "a:2:4", "b:1:1"]);
}

#[test]
fn a_refusal_keeps_its_code_and_help_on_the_way_through_serde() {
    let refusal = Refusal::new(Code::InvalidMode, "`8` is no mode").help("write \"0600\"");
    assert_eq!(Refusal::decode(&format!("{refusal:#}")), refusal);
    assert_eq!(refusal.to_string(), "`8` is no mode (write \"0600\")");
    assert_eq!(Refusal::decode("any other text").code, Code::InvalidValue);
    let forged = Refusal::new(Code::InvalidMode, "\u{1f}PKI1020\u{1f}x\u{1f}y");
    assert_eq!(Refusal::decode(&format!("{forged:#}")).code, Code::InvalidMode);
}

#[test]
fn what_was_meant_is_guessed_only_when_near() {
    assert_eq!(nearest("validty", ["validity", "names"]), Some("validity"));
    assert_eq!(nearest("knownhosts", ["knownHosts"]), Some("knownHosts"));
    assert_eq!(nearest("replicas", ["validity", "names"]), None);
    assert_eq!(nearest(&"x".repeat(1_000_000), ["validity"]), None);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let problem = Source::from_bytes("ca.der", vec![b'a', b'\n', 0xff]).unwrap_err();
    assert_eq!((problem.code, problem.message.contains("line 2")), (Code::NotText, true));
    assert_eq!(Source::from_bytes("big", vec![b' '; 10_000_000]).unwrap_err().code, Code::TooLarge);
    assert_eq!(Source::from_bytes("ok", b"a: 1".to_vec()), Ok(Source::new("ok", "a: 1")));
}

#[test]
fn errors_are_not_hidden_behind_warnings_where_not_all_are_shown() {
    let warning = Diagnostic::new(Code::AmbiguousScalar, "a warning");
    assert_eq!(warning.severity, Severity::Warning);
    let mut problems = vec![warning; 150];
    problems.push(problem());
    let text = plain(&problems, &[source()]);
    assert_eq!(text.matches("a warning").count(), 99);
    assert!(text.contains("`365days` is not a duration"));
    assert!(text.contains("\n... and 51 more problems\n\n1 error, 150 warnings. "), "{text}");
    let text = plain(problems.get(50..).unwrap(), &[source()]);
    assert!(text.contains("\n... and 1 more problem\n\n"), "{text}");
}
