//! The functions between the layers of an MLP, by transformers' names.

use crate::spec::MlpActivation;

/// The function that transformers calls `name`.
///
/// # Errors
/// It is none of those that are here: a sentence.
pub fn activation(name: &str) -> Result<MlpActivation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(MlpActivation::Gelu),
        // One formula, however it is spelt.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Ok(MlpActivation::GeluTanh),
        "relu" => Ok(MlpActivation::Relu),
        other => Err(format!(
            "the activation `{other}` is not supported, only gelu, gelu_new, gelu_pytorch_tanh, gelu_fast and relu"
        )),
    }
}

/// What transformers calls it.
pub fn activation_name(activation: MlpActivation) -> &'static str {
    match activation {
        MlpActivation::Gelu => "gelu",
        MlpActivation::GeluTanh => "gelu_new",
        MlpActivation::Relu => "relu",
    }
}
