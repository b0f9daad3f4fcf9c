-- Requests for wrk: METHOD, a file with a path per line, for PUT a file with the body (or `-`), and a file with a bearer
-- token. Where path and body hold COUNTER stands a number of its width, another one in each request of a run. Paths are
-- drawn at random. All is put together before the clock runs.

local COUNTER = "00000000"

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local method = args[1]
  local body, headers
  if args[3] and args[3] ~= "-" then
    body = assert(io.open(args[3])):read("*a")
    headers = { ["Content-Type"] = "application/json" }
  end
  if args[4] then
    headers = headers or {}
    headers["Authorization"] = "Bearer " .. assert(io.open(args[4])):read("*a")
  end
  -- Each request in the parts between its counters.
  texts, count, written = {}, 0, number * 10000000
  for path in io.lines(args[2]) do
    count = count + 1
    local text, parts, from = wrk.format(method, path, headers, body), {}, 1
    while true do
      local at = string.find(text, COUNTER, from, true)
      table.insert(parts, string.sub(text, from, at and at - 1))
      if not at then break end
      from = at + #COUNTER
    end
    texts[count] = parts[2] and parts or text
  end
  math.randomseed(os.time() * 16 + number)
end

function request()
  local text = texts[math.random(count)]
  if type(text) == "string" then
    return text
  end
  written = written + 1
  return table.concat(text, string.format("%08d", written))
end

function done(summary, latency)
  local errors = summary.errors
  local socket = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, socket))
end
