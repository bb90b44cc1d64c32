-- wrk: POST the file BODY as TYPE; ACCEPT is the type asked for. Of a file .jsonl each line in turn.
local path = assert(os.getenv("BODY"))
local headers = { ["Content-Type"] = os.getenv("TYPE"), ["Accept"] = os.getenv("ACCEPT") }
local requests, turn = {}, 0

function init(args)
  local file = assert(io.open(path, "rb"))
  if path:match("%.jsonl$") then
    for line in file:lines() do
      requests[#requests + 1] = wrk.format("POST", nil, headers, line)
    end
  else
    requests[1] = wrk.format("POST", nil, headers, file:read("*a"))
  end
  file:close()
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.duration / 1e6,
    failed.status + failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
