# docker build --build-arg VERSION=0.1.0 -t sluice .
# docker run -v ./sluice.yaml:/etc/sluice/sluice.yaml:ro -p 9092:9092 -p 9100-9131:9100-9131 sluice
#
# The listeners in the file must bind 0.0.0.0 there, and advertised_host must be
# what clients can reach.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /sluice ./cmd/sluice

# Static, no shell, nothing but the binary and CA certificates; the user is not root.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /sluice /sluice
USER 65532:65532
# The bootstrap listener and the admin address. The ports per broker are those of
# the file: publish them too.
EXPOSE 9092 9644
# SIGTERM drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/sluice"]
CMD ["run", "--config", "/etc/sluice/sluice.yaml"]
