// The kinds (CustomResourceDefinitions) of operators that the walkthroughs of the chart meet: files of their modules.
module voicefleet.test/kinds

go 1.26

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/external-secrets/external-secrets v1.3.2
)
