-- A job gives its claim back. KEYS: claim. ARGV: job. Returns 1 when it was this job's.
local held = redis.call('GET', KEYS[1])
if held and cjson.decode(held).job == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 1
end
return 0
