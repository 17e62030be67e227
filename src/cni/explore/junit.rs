//! A report for continuous integration: JUnit's XML.

use super::{CutReport, PlayedCut, PluginProperty};
use quick_junit::{NonSuccessKind, Report as Xml, SerializeError, TestCase, TestCaseStatus, TestSuite};

/// One suite a property, one test a case that is about it.
pub fn junit(
    report: &CutReport,
    network: &str,
    properties: &[PluginProperty],
) -> Result<String, SerializeError> {
    let mut xml = Xml::new(format!("arplab cni explore {network}"));
    for property in properties {
        let mut suite = TestSuite::new(property.name());
        for played in &report.played {
            suite.add_test_cases(test(played, *property));
        }
        xml.add_test_suite(suite);
    }
    xml.to_string()
}

fn test(played: &PlayedCut, property: PluginProperty) -> Option<TestCase> {
    let kept = played.outcome.verdicts.get(&property)?;
    let status = match kept {
        Ok(()) => TestCaseStatus::success(),
        Err(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(why.as_str()).set_description(property.text());
            status
        }
    };
    let mut case = TestCase::new(played.what(), status);
    case.set_classname(played.cut.as_ref().map_or("undisturbed", |cut| cut.step.verb.word()));
    Some(case)
}
