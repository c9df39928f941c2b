import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Date;
import java.util.TimeZone;
import org.quartz.CronExpression;

/** Reads {@code expression|zone|after (epoch seconds)|count} lines; prints the next instants, or what went wrong. */
public class Quartz {
  public static void main(String[] args) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] parts = line.split("\\|");
      var found = new StringBuilder();
      try {
        var cron = new CronExpression(parts[0]);
        cron.setTimeZone(TimeZone.getTimeZone(parts[1]));
        Date at = new Date(Long.parseLong(parts[2]) * 1000);
        for (int i = 0; i < Integer.parseInt(parts[3]) && at != null; i++) {
          at = cron.getNextValidTimeAfter(at);
          found.append(at == null ? "" : at.getTime() / 1000 + " ");
        }
      } catch (Exception problem) {
        found = new StringBuilder("refused");
      }
      System.out.println(found.toString().strip());
    }
  }
}
