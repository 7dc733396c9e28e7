# The images and their layers. `make images` prepares the layers in images/.build/layers and then runs this; once the
# layers exist, `docker buildx bake` alone does the same.

# The prepared layers are in CONTEXT/.build/layers.
variable "CONTEXT" { default = "images" }
variable "REGISTRY" { default = "botdock" }
variable "TAG" { default = "dev" }
variable "VERSION" { default = "0.0.0" }
variable "REVISION" { default = "unknown" }
# The URL of the published source; without it there is no such annotation.
variable "SOURCE" { default = "" }
# Comma-separated, for example linux/amd64,linux/arm64.
variable "PLATFORMS" { default = "linux/amd64" }
# An image with Python 3.13 at /usr/local/bin (the official one), used instead of the root built from packages.
variable "BASE_IMAGE" { default = "" }
# Seconds; with one fixed date per release, the same inputs give the same digest. `make images` sets it.
variable "SOURCE_DATE_EPOCH" { default = "1793491200" }

group "default" {
  targets = ["bot", "orchestrator", "postgres", "simulator", "bot-simulated"]
}

function "metadata" {
  params = [title, description]
  result = merge(SOURCE == "" ? {} : { "org.opencontainers.image.source" = SOURCE }, {
    "org.opencontainers.image.title"       = "Botdock ${title}"
    "org.opencontainers.image.description" = description
    "org.opencontainers.image.version"     = VERSION
    "org.opencontainers.image.revision"    = REVISION
    "org.opencontainers.image.licenses"    = "Apache-2.0"
    "org.opencontainers.image.created"     = timeadd("1970-01-01T00:00:00Z", "${SOURCE_DATE_EPOCH}s")
  })
}

# An index, which has annotations of its own, exists only for several platforms.
function "annotations" {
  params = [labels]
  result = concat(
    [for key, value in labels : "manifest:${key}=${value}"],
    length(split(",", PLATFORMS)) > 1 ? [for key, value in labels : "index:${key}=${value}"] : []
  )
}

target "_common" {
  context   = CONTEXT
  platforms = split(",", PLATFORMS)
  args      = { SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
  # A provenance record holds the time of the build, so the digest would never be the same twice.
  attest = ["type=provenance,disabled=true"]
  output = ["type=docker,oci-mediatypes=true"]
}

target "root" {
  inherits   = ["_common"]
  dockerfile = "rootfs/Dockerfile"
  target     = BASE_IMAGE == "" ? "packages" : "registry"
  args       = { BASE_IMAGE = BASE_IMAGE == "" ? "scratch" : BASE_IMAGE }
  output     = ["type=cacheonly"]
}

target "bot" {
  inherits    = ["_common"]
  dockerfile  = "bot/Dockerfile"
  contexts    = { root = "target:root" }
  tags        = ["${REGISTRY}/bot:${TAG}"]
  labels      = metadata("bot", "One WhatsApp bot: neonize behind a small HTTP endpoint")
  annotations = annotations(metadata("bot", "One WhatsApp bot: neonize behind a small HTTP endpoint"))
}

target "orchestrator" {
  inherits    = ["_common"]
  dockerfile  = "orchestrator/Dockerfile"
  contexts    = { root = "target:root" }
  tags        = ["${REGISTRY}/orchestrator:${TAG}"]
  labels      = metadata("orchestrator", "Runs, monitors and restarts one container per approved bot")
  annotations = annotations(metadata("orchestrator", "Runs, monitors and restarts one container per approved bot"))
}

target "postgres" {
  inherits    = ["_common"]
  dockerfile  = "postgres/Dockerfile"
  tags        = ["${REGISTRY}/postgres:${TAG}"]
  labels      = metadata("postgres", "PostgreSQL 17 from Debian's packages, for machines without a registry")
  annotations = annotations(metadata("postgres", "PostgreSQL 17 from Debian's packages, for machines without a registry"))
}

target "simulator" {
  inherits    = ["_common"]
  dockerfile  = "simulator/Dockerfile"
  contexts    = { root = "target:root" }
  tags        = ["${REGISTRY}/simulator:${TAG}"]
  labels      = metadata("simulator", "Simulates the WhatsApp network for development, demos and tests")
  annotations = annotations(metadata("simulator", "Simulates the WhatsApp network for development, demos and tests"))
}

target "bot-simulated" {
  inherits    = ["_common"]
  dockerfile  = "bot-simulated/Dockerfile"
  contexts    = { bot = "target:bot" }
  tags        = ["${REGISTRY}/bot-simulated:${TAG}"]
  labels      = metadata("simulated bot", "The bot image with the simulator's certificate and key")
  annotations = annotations(metadata("simulated bot", "The bot image with the simulator's certificate and key"))
}
