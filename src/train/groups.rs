//! Which parameters are trained, and how: the recipe's groups, resolved for a network.

use super::error::TrainError;
use crate::models::Parameter;
use crate::spec::{self, DecayOn, Mistake, ParameterGroup, fits_pattern};

/// Names that are listed where a pattern fits none.
const NEAREST: usize = 5;

/// What the recipe asks for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSettings {
    /// Whether it stays as it is.
    pub frozen: bool,
    /// What the learning rate is multiplied by.
    pub lr_factor: f64,
    /// The weight decay.
    pub weight_decay: f64,
}

/// What `recipe` asks for each of `parameters`, in their order.
///
/// A parameter belongs to the first group that has a pattern which fits its name; `*` in a pattern
/// stands for any text, also none. A group's own weight decay applies to all of its parameters;
/// otherwise it is the optimizer's, with `weight_decay_on: weights` only where that is customary.
///
/// # Errors
/// A pattern fits no parameter, or only such as belong to earlier groups; all parameters are frozen.
pub fn parameter_settings(
    recipe: &spec::Train,
    parameters: &[Parameter],
) -> Result<Vec<ParameterSettings>, TrainError> {
    for (index, group) in recipe.groups.iter().enumerate() {
        for pattern in &group.parameters {
            if !parameters
                .iter()
                .any(|parameter| fits_pattern(pattern, &parameter.name))
            {
                let message = format!(
                    "`{pattern}` in group {} fits no parameter of the model",
                    index + 1
                );
                let help = format!("the nearest are {}", nearest(pattern, parameters));
                return Err(group_parameters(index, message).help(help).into());
            }
        }
    }
    for (index, group) in recipe.groups.iter().enumerate() {
        for pattern in &group.parameters {
            let own = |parameter: &&Parameter| fits_pattern(pattern, &parameter.name);
            let taken = |parameter: &Parameter| {
                recipe.groups[..index].iter().any(|group| {
                    group
                        .parameters
                        .iter()
                        .any(|pattern| fits_pattern(pattern, &parameter.name))
                })
            };
            if parameters.iter().filter(own).all(taken) {
                let message = format!(
                    "`{pattern}` in group {} fits only parameters that belong to earlier groups",
                    index + 1
                );
                let help = "a parameter belongs to the first group that fits: put this group before them";
                return Err(group_parameters(index, message).help(help).into());
            }
        }
    }
    let settings: Vec<ParameterSettings> = parameters
        .iter()
        .map(|parameter| of_parameter(recipe, parameter))
        .collect();
    if settings.iter().all(|settings| settings.frozen) {
        let mistake = Mistake::new(["groups"], "every parameter is frozen: there is nothing to train");
        return Err(mistake.help("leave a group out, or do not freeze it").into());
    }
    Ok(settings)
}

fn group_parameters(group: usize, message: String) -> Mistake {
    Mistake::new(["groups", &group.to_string(), "parameters"], message)
}

fn of_parameter(recipe: &spec::Train, parameter: &Parameter) -> ParameterSettings {
    let has = |group: &&ParameterGroup| {
        group
            .parameters
            .iter()
            .any(|pattern| fits_pattern(pattern, &parameter.name))
    };
    let group = recipe.groups.iter().find(has);
    let usual = match recipe.weight_decay_on {
        DecayOn::Weights if !parameter.decays => 0.0,
        DecayOn::Weights | DecayOn::All => recipe.optimizer.weight_decay(),
    };
    ParameterSettings {
        frozen: group.is_some_and(|group| group.frozen),
        lr_factor: group.map_or(1.0, |group| group.lr_factor.get()),
        weight_decay: group
            .and_then(|group| group.weight_decay)
            .map_or(usual, |decay| decay.get()),
    }
}

/// The names that are nearest to what a pattern says literally, nearest first.
fn nearest(pattern: &str, parameters: &[Parameter]) -> String {
    let mut names: Vec<(usize, &str)> = parameters
        .iter()
        .map(|parameter| (distance(pattern, &parameter.name), parameter.name.as_str()))
        .collect();
    names.sort_by_key(|(distance, _)| *distance);
    let more = names.len() > NEAREST;
    names.truncate(NEAREST);
    let names: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
    format!("{}{}", names.join(", "), if more { ", ..." } else { "" })
}

/// Edits between the pattern's text and the parts of the name where it would have to stand: with a
/// `*`, the beginning and the end.
fn distance(pattern: &str, name: &str) -> usize {
    let edits = strsim::damerau_levenshtein;
    let Some((head, _)) = pattern.split_once('*') else {
        return edits(pattern, name);
    };
    let tail = pattern.rsplit('*').next().unwrap_or_default();
    let letters: Vec<char> = name.chars().collect();
    let first: String = letters.iter().take(head.chars().count()).collect();
    let skipped = letters.len().saturating_sub(tail.chars().count());
    let last: String = letters[skipped..].iter().collect();
    edits(head, &first) + edits(tail, &last)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use serde_json::{Value, json};

    use super::*;

    fn parameters() -> Vec<Parameter> {
        let names = [
            ("layer1.0.conv1.weight", true),
            ("layer1.0.bn1.weight", false),
            ("layer2.0.conv1.weight", true),
            ("fc.weight", true),
            ("fc.bias", false),
        ];
        let parameter = |(name, decays): (&str, bool)| Parameter {
            name: name.to_owned(),
            var: Var::new(&[0f32], &Device::Cpu).unwrap(),
            decays,
            frozen: false,
        };
        names.into_iter().map(parameter).collect()
    }

    fn resolved(changes: Value) -> Result<Vec<ParameterSettings>, TrainError> {
        let recipe = crate::train::testing::recipe(changes);
        parameter_settings(&recipe, &parameters())
    }

    fn column<T>(settings: &[ParameterSettings], of: impl Fn(&ParameterSettings) -> T) -> Vec<T> {
        settings.iter().map(of).collect()
    }

    #[test]
    fn the_first_group_that_fits_counts() {
        let settings = resolved(json!({
            "optimizer": {"sgd": {"lr": 0.1, "weight_decay": 0.5}},
            "weight_decay_on": "weights",
            "groups": [
                {"parameters": ["layer1.*"], "frozen": true},
                {"parameters": ["*.conv1.weight", "fc.bias"], "lr_factor": 0.1, "weight_decay": 0.25},
            ],
        }))
        .unwrap();
        let frozen = column(&settings, |settings| settings.frozen);
        assert_eq!(frozen, [true, true, false, false, false]);
        let factors = column(&settings, |settings| settings.lr_factor);
        assert_eq!(factors, [1.0, 1.0, 0.1, 1.0, 0.1]);
        // A group's own decay applies to biases too.
        let decays = column(&settings, |settings| settings.weight_decay);
        assert_eq!(decays, [0.5, 0.0, 0.25, 0.5, 0.25]);
    }

    #[test]
    fn weight_decay_applies_to_all_by_default() {
        let settings = resolved(json!({"optimizer": {"adamw": {"lr": 0.1}}})).unwrap();
        assert_eq!(column(&settings, |settings| settings.weight_decay), [0.01; 5]);
    }

    #[test]
    fn patterns_without_parameters_and_nothing_to_train_are_told() {
        let told = |groups: Value| resolved(json!({"groups": groups})).unwrap_err().to_string();
        assert_eq!(
            told(json!([{"parameters": ["fc.*"]}, {"parameters": ["fc.weights"]}])),
            "`train.groups.1.parameters`: `fc.weights` in group 2 fits no parameter of the model: the nearest are \
             fc.weight, fc.bias, layer1.0.bn1.weight, layer1.0.conv1.weight, layer2.0.conv1.weight"
        );
        let nearest = told(json!([{"parameters": ["layer3.*"]}]));
        assert!(nearest.contains("the nearest are layer1.0.conv1.weight, layer1.0.bn1.weight, layer2"));
        assert!(told(json!([{"parameters": ["*"], "frozen": true}])).contains("every parameter is frozen"));
    }
}
