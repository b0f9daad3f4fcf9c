-- Requests for wrk: METHOD, a file with a path per line, for PUT a file with the body, and (behind `-` in its place) a
-- file with a bearer token. In the body, in which COUNTER is
-- replaced by a number of its width. Paths are drawn at random. All is put together before the clock runs.

local COUNTER = "00000000"

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local method = args[1]
  local body, headers
  if args[4] then
    headers = { ["Authorization"] = "Bearer " .. assert(io.open(args[4])):read("*a") }
  elseif args[3] then
    body = assert(io.open(args[3])):read("*a")
    headers = { ["Content-Type"] = "application/json" }
  end
  heads, tails, count, written = {}, {}, 0, 0
  for path in io.lines(args[2]) do
    count = count + 1
    local text = wrk.format(method, path, headers, body)
    local at = body and string.find(text, COUNTER, 1, true)
    heads[count] = at and string.sub(text, 1, at - 1) or text
    tails[count] = at and string.sub(text, at + #COUNTER)
  end
  math.randomseed(os.time() * 16 + number)
end

function request()
  local at = math.random(count)
  local tail = tails[at]
  if not tail then
    return heads[at]
  end
  written = written + 1
  return heads[at] .. string.format("%08d", written) .. tail
end

function done(summary, latency)
  local errors = summary.errors
  local socket = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, socket))
end
