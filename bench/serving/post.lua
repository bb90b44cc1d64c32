-- wrk: POST the file BODY as TYPE; ACCEPT is the type asked for. Of a file .jsonl each line in turn.
local path = assert(os.getenv("BODY"))
wrk.method = "POST"
wrk.headers["Content-Type"] = os.getenv("TYPE")
wrk.headers["Accept"] = os.getenv("ACCEPT")

if path:match("%.jsonl$") then
  local requests, turn = {}, 0

  function init(_)
    for line in io.lines(path) do
      requests[#requests + 1] = wrk.format(nil, nil, nil, line)
    end
  end

  function request()
    turn = turn % #requests + 1
    return requests[turn]
  end
else -- without a function `request` wrk makes the request once, and asks no script for the next one
  local file = assert(io.open(path, "rb"))
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency, _)
  local failed = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.duration / 1e6,
    failed.status + failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
