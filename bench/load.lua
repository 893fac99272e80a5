-- Sends the requests of a file in turn. Zero bytes separate the requests.
-- If a first number and a step are given, the file contains one request with a place for a number, which grows by the
-- step with each request.
local requests, last, number, step = {}, 0, nil, nil

function init(arguments)
  for request in io.open(arguments[1], "rb"):read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = request
  end
  number, step = tonumber(arguments[2]), tonumber(arguments[3])
  if number then
    -- wrk does not send the result of the first call.
    number = number - step
  end
end

function request()
  if number then
    local one = string.format(requests[1], number)
    number = number + step
    return one
  end
  last = last % #requests + 1
  return requests[last]
end
