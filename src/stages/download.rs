//! placeholder
pub struct DownloadStage;
impl super::Stage for DownloadStage { fn run(&self, job: &super::Job, _m: &crate::event::Monitor) -> Result<super::Outcome, super::StageError> {
 let crate::spec::Kind::Download(d) = &job.kind else { unreachable!() };
 let p = job.project.join(d.local_file().unwrap()); std::fs::copy(p, job.output.join(d.file_name())).unwrap(); Ok(super::Outcome::default()) } }
